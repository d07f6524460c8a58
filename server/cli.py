"""Command line of the embedded server."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from server import triton
from server.child import Child
from server.cpu import AMX, cpu_flags
from server.errors import ServerError
from server.installation import Installation, find_installation
from server.ports import port_problem
from server.ready import has_setting, local_url
from server.repository import PROFILES, Ensemble, find_ensembles
from server.supervisor import Supervisor

_GPU = Path("/dev/nvidiactl")
REPOSITORY = Path(__file__).parent.parent / "model_repository"


def main(arguments: Sequence[str] | None = None, prog: str = "python -m server") -> int:
    """Serve until Ctrl-C; `prog` is the command as the user knows it.

    Returns:
        0 after Ctrl-C or SIGTERM, 1 if it cannot start.
    """
    options = _parser(prog).parse_args(arguments)
    try:
        _serve(options)
    except ServerError as error:
        print(f"triton-sod: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Start Triton and the gateway; Ctrl-C stops both.",
        epilog="The gateway's settings come from the environment (SOD_…): python -m gateway --help.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of the gateway; Triton stays on loopback (default: %(default)s)"
    )
    parser.add_argument("--port", type=_port, default=8080, help="port of the gateway (default: %(default)s)")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="how the detectors run (default: gpu_high_performance in an image on a GPU, else cpu_high_performance)",
    )
    parser.add_argument(
        "--model-repository", type=Path, default=REPOSITORY, help="folder of model folders (default: %(default)s)"
    )
    parser.add_argument("--model", action="append", help="load only this ensemble; may be repeated (default: all)")
    parser.add_argument("--http-port", type=_port, default=8000, help="Triton's HTTP port (default: %(default)s)")
    parser.add_argument("--grpc-port", type=_port, default=8001, help="Triton's gRPC port (default: %(default)s)")
    parser.add_argument("--metrics-port", type=_port, default=8002, help="Triton's metrics port (default: %(default)s)")
    parser.add_argument(
        "--start-timeout", type=float, default=300, help="seconds until an inference must pass (default: %(default)s)"
    )
    parser.add_argument(
        "--unready-restart",
        type=float,
        default=30,
        help="restart Triton after so many unready seconds (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="show Triton's information messages")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _serve(options: argparse.Namespace) -> None:
    installation = find_installation()
    profile = options.profile or default_profile(installation)
    if profile.startswith("gpu") and not _GPU.exists():
        raise ServerError(f"profile {profile} needs an NVIDIA GPU, and there is none: PROFILE=cpu_high_performance")
    repository = options.model_repository.absolute()
    ensembles = find_ensembles(repository, profile, installation.backends)
    served = _choose(ensembles, options.model)
    ports = triton.TritonPorts(options.http_port, options.grpc_port, options.metrics_port)
    _check_ports(options.host, options.port, ports)
    url = local_url(options.host, options.port)
    environment = _gateway_environment(options)
    drain_s = sum(_seconds(environment, name) for name in ("SOD_DRAIN_DELAY", "SOD_SHUTDOWN_TIMEOUT"))
    serving = triton.TritonOptions(
        repository,
        served,
        profile,
        ports,
        f"sod-{os.getpid()}-",
        options.verbose,
        environment.get("SOD_OTLP_ENDPOINT") or None,
    )
    print(f"starting {installation.name} and the gateway, profile {profile} …", file=sys.stderr, flush=True)
    with installation.backend_directory() as backends:
        Supervisor(
            triton.TritonServer(serving, installation, backends),
            Child("the gateway", [sys.executable, "-m", "gateway"], environment),
            url=url,
            start_timeout_s=options.start_timeout,
            unready_restart_s=options.unready_restart,
            drain_s=drain_s,
        ).run(on_ready=lambda: print(_banner(url, profile, ensembles, served), flush=True))


def default_profile(installation: Installation) -> str:
    """The fastest that this machine and this Triton have."""
    return "gpu_high_performance" if _GPU.exists() and "tensorrt" in installation.backends else "cpu_high_performance"


def _choose(ensembles: list[Ensemble], wanted: list[str] | None) -> tuple[str, ...]:
    """Names to load.

    Raises:
        ServerError: a wanted one is unknown or lacks something, or none can be served.
    """
    known = {ensemble.name: ensemble for ensemble in ensembles}
    for name in wanted or []:
        if name not in known:
            raise ServerError(f"there is no model {name}; the repository has {', '.join(known)}")
        if known[name].missing:
            raise ServerError(f"{name} cannot be served: {known[name].missing}")
    served = wanted or [ensemble.name for ensemble in ensembles if not ensemble.missing]
    if not served:
        raise ServerError("no model can be served:\n" + "\n".join(_absences(ensembles)))
    return tuple(served)


def _absences(ensembles: list[Ensemble]) -> list[str]:
    return [f"  {ensemble.name}: {ensemble.missing}" for ensemble in ensembles if ensemble.missing]


def _check_ports(host: str, port: int, ports: triton.TritonPorts) -> None:
    """A taken port is a sentence now, not a log to be read later."""
    wanted = [(host, port, "PORT=…"), *((("127.0.0.1"), p, o) for p, o in _triton_ports(ports))]
    for address, number, option in wanted:
        if problem := port_problem(address, number):
            raise ServerError(f"cannot listen on {address}:{number} ({problem}): choose another, {option}")


def _triton_ports(ports: triton.TritonPorts) -> list[tuple[int, str]]:
    return [(getattr(ports, name), f"ARGS='--{name}-port=…'") for name in ("http", "grpc", "metrics")]


def _gateway_environment(options: argparse.Namespace) -> dict[str, str]:
    """What the gateway is told: what we know of Triton, and how long we wait for it, which it must know too."""
    defaults = {"SOD_LOG_LEVEL": "warning", "SOD_DRAIN_DELAY": "0", "SOD_SHUTDOWN_TIMEOUT": "30"}
    return {
        **os.environ,
        **{name: os.environ.get(name) or default for name, default in defaults.items()},
        "SOD_HOST": options.host,
        "SOD_PORT": str(options.port),
        "SOD_TRITON_URL": f"127.0.0.1:{options.grpc_port}",
        "SOD_TRITON_METRICS_URL": f"http://127.0.0.1:{options.metrics_port}/metrics",
    }


def _seconds(environment: dict[str, str], name: str) -> float:
    try:
        seconds = float(environment[name])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ServerError(f"{name} is {environment[name]!r}: it takes a number of seconds")
    return seconds


def _banner(url: str, profile: str, ensembles: list[Ensemble], served: tuple[str, ...]) -> str:
    lines = [
        f"\n  ready (profile {profile}): open {url}/ and drop an image on it",
        f"  the API: {url}/small-object-detection, described at {url}/docs\n",
    ]
    lines += ["  served:", *(f"    {name}" for name in served)]
    if absences := [line for line in _absences(ensembles) if line.split(":")[0].strip() not in served]:
        lines += ["  not served:", *(f"  {line}" for line in absences)]
    if profile == "cpu_high_performance" and AMX in cpu_flags():
        lines += ["\n  faster on this CPU, which has AMX: PROFILE=cpu_bf16"]
    # The certificate need not be for this machine's own address.
    curl = f"curl -s{'k' if url.startswith('https') else ''} {url}/small-object-detection"
    key = ' -H "X-API-Key: $KEY"' if has_setting("api_keys") else ""
    lines += [
        "\n  try, with an image of yours:",
        f"""    (printf '{{"image": "'; base64 -w0 image.jpg; printf '"}}') |"""
        f" {curl}{key} -H 'content-type: application/json' -d @-",
        "\n  Ctrl-C stops it.",
    ]
    return "\n".join(lines)
