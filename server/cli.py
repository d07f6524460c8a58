"""Command line of the launcher."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from server.banner import banner, banner_fields
from server.devices import GRAMMAR, KINDS, PROFILES, choose_profile, device_environment, parse_device
from server.errors import ServerError
from server.installation import Installation, find_installation, release_problem
from server.ports import is_loopback, port_problem
from server.process.leftovers import claim, live_claims
from server.process.managed_process import ManagedProcess
from server.process.output import STDOUT, Output, open_standard_streams
from server.process.work_folder import is_safe, work_folder
from server.ready import local_address, local_url, setting
from server.repository import Ensemble, find_ensembles
from server.supervision.supervisor import Supervisor
from server.triton.command import TritonOptions, TritonPorts
from server.triton.process import Served, TritonProcess
from server.triton.shared_memory import SHARED_MEMORY, free_bytes

_GPU = Path("/dev/nvidiactl")
_PACKAGES = Path(__file__).absolute().parents[1]
REPOSITORY = _PACKAGES / "model_repository"


def main(arguments: Sequence[str] | None = None, prog: str = "python -m server") -> int:
    """Serve until Ctrl-C; `prog` is the command as the user typed it.

    Returns:
        0 after Ctrl-C, SIGTERM or SIGHUP, 1 if it cannot start.
    """
    open_standard_streams()
    options = _parser(prog).parse_args(arguments)
    output = Output("json" if setting("log_format").lower() == "json" else "text")
    try:
        _serve(options, output)
    except ServerError as error:
        if output.log_format == "json":
            output.log("ERROR", str(error))
        else:
            output.announce(f"triton-sod: {error}")
        return 1
    except KeyboardInterrupt:  # before anything was started
        return 0
    finally:
        output.close()
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
    parser.add_argument("--port", type=port, default=8080, help="port of the gateway (default: %(default)s)")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="how the detectors run (default: gpu_high_performance in an image on a GPU, else cpu_high_performance)",
    )
    parser.add_argument(
        "--device",
        help=f"where the detectors run: {GRAMMAR}; several indices make one instance each (default: the profile's)",
    )
    parser.add_argument(
        "--model-repository", type=Path, default=REPOSITORY, help="folder of model folders (default: %(default)s)"
    )
    parser.add_argument("--model", action="append", help="load only this ensemble; may be repeated (default: all)")
    parser.add_argument(
        "--triton-host",
        default="127.0.0.1",
        help="address of Triton's gRPC and metrics ports, which have no authentication: another than loopback is for "
        "gateways on other machines, on a network that only they and Prometheus reach (default: %(default)s)",
    )
    parser.add_argument("--http-port", type=port, default=8000, help="Triton's HTTP port (default: %(default)s)")
    parser.add_argument("--grpc-port", type=port, default=8001, help="Triton's gRPC port (default: %(default)s)")
    parser.add_argument("--metrics-port", type=port, default=8002, help="Triton's metrics port (default: %(default)s)")
    parser.add_argument(
        "--start-timeout",
        type=float,
        default=300,
        help="seconds until the first inference must have passed (default: %(default)s)",
    )
    parser.add_argument(
        "--unready-restart",
        type=float,
        default=30,
        help="seconds without a passed inference after which the process that fails is started again, although it "
        "reacts; processes that are dead or do not react are replaced sooner (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="show Triton's information messages")
    return parser


def port(text: str) -> int:
    """Parse a port.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _serve(options: argparse.Namespace, output: Output) -> None:
    installation = find_installation()
    profile = options.profile or default_profile(installation)
    # GPUs have a sentence of their own below; the CPU is always there.
    if options.device is None and not profile.startswith(("cpu", "gpu")):
        options.device = next(kind.name for kind in KINDS.values() if profile in kind.profiles)
    if options.device is not None:
        device = parse_device(options.device)
        profile = choose_profile(device, options.profile, installation.backends)
        if device.indices and device.kind.name != "gpu" and not installation.own_backends:
            raise ServerError(f"device {device}: Triton's image chooses no index: use DEVICE={device.kind.name}")
        installation.environ.update(device_environment(device))
    if profile.startswith("gpu") and not _GPU.exists():
        raise ServerError(f"profile {profile} needs an NVIDIA GPU, and there is none: PROFILE=cpu_high_performance")
    repository = options.model_repository.absolute()
    ensembles = find_ensembles(repository, profile, installation.backends)
    chosen = _choose(ensembles, options.model)
    ports = TritonPorts(options.http_port, options.grpc_port, options.metrics_port, options.triton_host)
    _check_ports(options.host, options.port, ports)
    free_bytes()
    url = local_url(options.host, options.port)
    environment = _gateway_environment(options)
    drain_s = sum(_seconds(environment, name) for name in ("SOD_DRAIN_DELAY", "SOD_SHUTDOWN_TIMEOUT"))
    about = {"pid": os.getpid(), "url": url, "ports": [options.port, ports.http, ports.grpc, ports.metrics]}
    output.announce(f"starting {installation.name} and the gateway, profile {profile} …")
    if not is_loopback(ports.host) and (problem := release_problem(installation.release)):
        output.log("WARNING", f"Triton listens on {ports.host} without authentication, and {problem}")
    with ExitStack() as stack:
        if not installation.own_backends and not os.access("/tmp", os.W_OK):  # noqa: S108
            raise ServerError("Triton needs to write to /tmp, which is read-only or absent: docker run --tmpfs /tmp")
        work, work_claim = stack.enter_context(work_folder(programs=installation.makes_programs))
        regions = stack.enter_context(claim(SHARED_MEMORY, about))
        # The stages' Python ignores PYTHONPATH and begins with the working directory: they run the launcher's own code.
        for package in ("sod", "server"):
            (work / package).symlink_to(_PACKAGES / package)
        if not is_safe(repository):
            (work / "models").symlink_to(repository)
            repository = work / "models"
        # What they write to temporary files goes when the launcher does, however they end.
        environment["TMPDIR"] = installation.environ["TMPDIR"] = str(work)
        triton = TritonProcess(
            TritonOptions(
                repository, chosen, profile, ports, options.verbose, environment.get("SOD_OTLP_ENDPOINT") or None
            ),
            installation,
            installation.backend_directory(work),
            regions=regions,
            output=output,
            keep_open=(work_claim.descriptor,),
            folder=work,
        )
        gateway = ManagedProcess(
            "the gateway",
            [sys.executable, "-m", "gateway"],
            environment,
            output,
            source="gateway",
            keep_open=(work_claim.descriptor,),
        )

        def on_ready(served: Served) -> None:
            missing = {e.name: e.missing for e in ensembles if e.missing and e.name not in chosen}
            shown = (url, profile, served.ready, {**missing, **served.failed})
            output.announce(banner(*shown), STDOUT, **banner_fields(*shown))

        Supervisor(
            triton,
            gateway,
            url=url,
            output=output,
            start_timeout_s=options.start_timeout,
            unready_restart_s=options.unready_restart,
            drain_s=drain_s,
        ).run(on_ready)


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
        absences = [f"  {ensemble.name}: {ensemble.missing}" for ensemble in ensembles if ensemble.missing]
        raise ServerError("no model can be served:\n" + "\n".join(absences))
    return tuple(dict.fromkeys(served))


def _check_ports(host: str, port: int, ports: TritonPorts) -> None:
    """Say now, in one sentence, what would otherwise be an error in Triton's log.

    Raises:
        ServerError: two of the ports are the same, or one cannot be listened on.
    """
    triton = [(getattr(ports, name), name, f"ARGS='--{name}-port=…'") for name in ("http", "grpc", "metrics")]
    for position, (number, name, option) in enumerate(triton):
        if number == port:
            raise ServerError(
                f"port {port} is Triton's {name} port: give the gateway another (PORT=…) or move Triton's ({option})"
            )
        if number in [earlier for earlier, _, _ in triton[:position]]:
            raise ServerError(f"Triton's ports must differ, and {number} is given twice: choose another, {option}")
    hosts = {"http": "127.0.0.1", "grpc": ports.host, "metrics": ports.host}
    wanted = [(host, port, "PORT=…"), *((hosts[name], number, option) for number, name, option in triton)]
    for address, number, option in wanted:
        problem = port_problem(address, number)
        if problem is None:
            continue
        if problem.is_host:
            name = "--host" if option == "PORT=…" else "--triton-host"
            raise ServerError(f"{name}: {problem.text}: give an address of this machine, or 0.0.0.0 for all of them")
        owner = next((claimed for claimed in live_claims(SHARED_MEMORY) if number in claimed.get("ports", ())), None)
        if problem.is_taken and owner is not None:
            raise ServerError(
                f"port {number} is in use by the triton-sod that already runs at {owner.get('url')} "
                f"(process {owner.get('pid')}): stop it, or choose another port, {option}"
            )
        raise ServerError(f"cannot listen on {address}:{number} ({problem.text}): choose another, {option}")


def _gateway_environment(options: argparse.Namespace) -> dict[str, str]:
    """The gateway's environment: where Triton is, and the times after which the launcher ends it."""
    defaults = {"SOD_LOG_LEVEL": "warning", "SOD_DRAIN_DELAY": "0", "SOD_SHUTDOWN_TIMEOUT": "30"}
    metrics = local_address(options.triton_host, options.metrics_port)
    return {
        **os.environ,
        **{name: os.environ.get(name) or default for name, default in defaults.items()},
        "SOD_HOST": options.host,
        "SOD_PORT": str(options.port),
        "SOD_TRITON_URL": local_address(options.triton_host, options.grpc_port),
        "SOD_TRITON_METRICS_URL": f"http://{metrics}/metrics",
    }


def _seconds(environment: dict[str, str], name: str) -> float:
    try:
        seconds = float(environment[name])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ServerError(f"{name} is {environment[name]!r}: it takes a number of seconds")
    return seconds
