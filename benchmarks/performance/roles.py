"""The roles that processes of a server have, by which processor time and memory are summed."""

from collections.abc import Mapping

DETECTOR = "detector"
GATEWAY = "gateway"
LAUNCHER = "launcher"
PADDLEX = "paddlex"
TRITON = "triton"


def outside_detector(cpu_ms: Mapping[str, float]) -> float:
    """Processor time of a request outside the detector, in milliseconds.

    Args:
        cpu_ms: milliseconds of a request by role. The launcher's readiness checks serve no request and are left out.
    """
    return sum(ms for role, ms in cpu_ms.items() if role not in (DETECTOR, LAUNCHER))
