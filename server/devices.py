"""The devices of `--device`: their grammar, the profiles that run on them, and how to tell that a machine has them.

The kinds are PaddleX's (`cpu`, `gpu`, `npu`, `xpu`, `mlu`, `dcu`) and OpenVINO's `intel_gpu` and `intel_npu`.
"""

import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.errors import ServerError

_DEV = Path("/dev")
DEVICE_VARIABLE = "SOD_DEVICE"  # tells the backends which of several devices to use
GRAMMAR = "cpu, gpu[:N[,M]], npu[:N], xpu[:N], mlu[:N], dcu[:N], intel_gpu[:N] or intel_npu"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device.

    Attributes:
        name: in `--device`.
        maker: for messages.
        profiles: that run on it, the default first.
        node: of the driver in /dev; `*` stands for the index, `?` for any.
        driver: what makes the node.
        distribution: Python package that computes on it; empty if the profile's own packages do.
        numbered: whether several can be told apart by an index.
    """

    name: str
    maker: str
    profiles: tuple[str, ...]
    node: str = ""
    driver: str = ""
    distribution: str = ""
    numbered: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "cpu",
            "CPU",
            ("cpu_high_performance", "cpu_bf16", "cpu_int8", "cpu_regular"),
            numbered=False,
        ),
        Kind("gpu", "NVIDIA GPU", ("gpu_high_performance", "gpu_regular"), "nvidiactl", "NVIDIA's driver"),
        Kind("npu", "Ascend NPU", ("npu_regular",), "davinci*", "Ascend's driver and CANN", "paddle-custom-npu"),
        Kind("xpu", "Kunlun XPU", ("xpu_regular",), "xpu*", "Kunlun's driver and XRE", "paddlepaddle-xpu"),
        Kind("mlu", "Cambricon MLU", ("mlu_regular",), "cambricon_dev*", "Cambricon's driver", "paddle-custom-mlu"),
        Kind("dcu", "Hygon DCU", ("dcu_regular",), "kfd", "Hygon's driver and DTK", "paddlepaddle-dcu"),
        Kind(
            "intel_gpu",
            "Intel GPU",
            ("intel_gpu_high_performance",),
            "dri/renderD?",
            "Intel's driver (intel-opencl-icd)",
            "openvino",
        ),
        Kind(
            "intel_npu",
            "Intel NPU",
            ("intel_npu_high_performance",),
            "accel/accel?",
            "Intel's driver (intel-driver-compiler-npu, intel-level-zero-npu)",
            "openvino",
            numbered=False,
        ),
    )
}
PROFILES = tuple(sorted(profile for kind in KINDS.values() for profile in kind.profiles))


@dataclass(frozen=True, slots=True)
class Device:
    """Devices of one kind.

    Attributes:
        kind: one of `KINDS`.
        indices: one model instance runs on each; empty is the first device, and every device of `gpu`.
    """

    kind: Kind
    indices: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.kind.name + (":" + ",".join(map(str, self.indices)) if self.indices else "")

    def problem(self) -> str:
        """What this machine lacks, as a sentence; empty if nothing is known against the device."""
        kind = self.kind
        for index in self.indices or (0,):
            pattern = kind.node.replace("*", str(index)).replace("?", "*")
            if pattern and not any(_DEV.glob(pattern)):
                which = f"{kind.maker} {index}" if "*" in kind.node and self.indices else kind.maker
                return (
                    f"device {self}: this machine has no {which} (/dev/{pattern} is absent): install {kind.driver}, "
                    "and in a container pass the device on; or choose the device cpu"
                )
        if kind.distribution and _version(kind.distribution) is None:
            return (
                f"device {self}: the wheel {kind.distribution} is not installed: install its maker's build of Paddle 3"
            )
        return ""

    def found(self) -> str:
        """What this machine has of it, for a list."""
        pattern = self.kind.node.replace("*", "[0-9]*").replace("?", "*")
        nodes = sorted(str(path) for path in _DEV.glob(pattern)) if pattern else []
        version = _version(self.kind.distribution) if self.kind.distribution else None
        return ", ".join([*nodes, *([f"{self.kind.distribution} {version}"] if version else [])])


def parse_device(text: str) -> Device:
    """Read `gpu:0,1`.

    Raises:
        ServerError: it is not a device.
    """
    name, colon, listed = text.strip().lower().partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise ServerError(f"there is no device {text!r}: choose {GRAMMAR}")
    if not colon:
        return Device(kind)
    if not kind.numbered:
        raise ServerError(f"{text!r} is not a device: {name} has no index, write {name}")
    if not re.fullmatch(r"[0-9]{1,4}(,[0-9]{1,4})*", listed):
        raise ServerError(f"{text!r} is not a device: write {name}:0, or {name}:0,1 for one instance on each")
    indices = tuple(map(int, listed.split(",")))
    if len(set(indices)) != len(indices):
        raise ServerError(f"{text!r} is not a device: it names an index twice")
    return Device(kind, indices)


def choose_profile(device: Device, profile: str | None, backends: Sequence[str]) -> str:
    """The profile that runs on a device.

    Args:
        device: what the user chose.
        profile: what the user chose; None is the device's default.
        backends: names of the backends that this Triton has.

    Raises:
        ServerError: the profile runs on another device, or this machine lacks the device.
    """
    profiles = device.kind.profiles
    if profile is not None and profile not in profiles:
        raise ServerError(f"profile {profile} does not run on device {device}: choose {' or '.join(profiles)}")
    if problem := device.problem():
        raise ServerError(problem)
    if profile is not None:
        return profile
    return "gpu_regular" if device.kind.name == "gpu" and "tensorrt" not in backends else profiles[0]


def device_environment(device: Device) -> dict[str, str]:
    """Environment variables with which Triton's backends use these devices."""
    if device.kind.name == "gpu":
        return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, device.indices))} if device.indices else {}
    return {DEVICE_VARIABLE: str(device)}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
