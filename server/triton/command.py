"""The command line of `tritonserver`."""

from dataclasses import dataclass
from pathlib import Path

from server.installation import OWN_BACKENDS

_NEVER = 2**31 - 1  # one request in so many
# Seconds that tritonserver waits for requests under way when it is asked to end. The gateway has ended before it.
_EXIT_TIMEOUT_S = 2


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """Ports of Triton's three services.

    Attributes:
        http: on loopback, for the launcher.
        grpc: on `host`.
        metrics: on `host`.
        host: an address of this machine; loopback unless gateways run elsewhere.
    """

    http: int
    grpc: int
    metrics: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """What a server serves, and where.

    Attributes:
        repository: model repository.
        models: ensembles to load, with their stages.
        profile: `--model-config-name`.
        ports: on loopback by default: the wheel's release is from before the fixes of CVE-2025-23319.
        verbose: show Triton's information messages.
        otlp_endpoint: base URL of the OTLP/HTTP receiver that gets the traces; None for none.
    """

    repository: Path
    models: tuple[str, ...]
    profile: str
    ports: TritonPorts
    verbose: bool = False
    otlp_endpoint: str | None = None


def command(  # noqa: PLR0913 — what the installation adds to the options, by name
    options: TritonOptions, *, binary: Path, backends: Path, models: tuple[str, ...], shm_prefix: str, region_bytes: int
) -> list[str]:
    """The command line of the server.

    Args:
        options: of the launcher.
        binary: `tritonserver`.
        backends: folder of the backends.
        models: names of the models to load; those that fail do not keep the others from being served.
        shm_prefix: how the names of its shared-memory regions begin.
        region_bytes: size of each region at the start.
    """
    line = [
        str(binary),
        f"--model-repository={options.repository}",
        f"--backend-directory={backends}",
        f"--model-config-name={options.profile}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        "--exit-on-error=false",
        # Every config.pbtxt is complete; completing would start each Python model twice.
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
        "--log-info=true",  # they tell which model is loading; the launcher shows them only with --verbose
    ]
    for service in ("http", "grpc", "metrics"):
        address = "127.0.0.1" if service == "http" else options.ports.host
        line += [f"--{service}-address={address}", f"--{service}-port={getattr(options.ports, service)}"]
    for backend in ("python", *OWN_BACKENDS):
        line += [
            f"--backend-config={backend},shm-region-prefix-name={shm_prefix}",
            f"--backend-config={backend},stub-timeout-seconds=120",
            f"--backend-config={backend},shm-default-byte-size={region_bytes}",
        ]
    if options.otlp_endpoint is not None:
        line += _trace_options(options.otlp_endpoint)
    return line


def _trace_options(endpoint: str) -> list[str]:
    """Trace only requests that bring a `traceparent`: Triton traces those at any rate, and the gateway chooses them."""
    settings = (
        "mode=opentelemetry",
        f"opentelemetry,url={endpoint.rstrip('/')}/v1/traces",
        "opentelemetry,resource=service.name=triton",
        f"rate={_NEVER}",
        "level=TIMESTAMPS",
    )
    return [f"--trace-config={setting}" for setting in settings]
