"""Loads an exported model into a running Triton by its model control API: no restart, and no request fails."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from export.errors import ExportError
from export.triton.repository import read_config
from sod.interface import pixel_entrance

LOG = logging.getLogger(__name__)
DEFAULT_URL = "127.0.0.1:8001"
_CHANNEL_ARGS = [
    # An http_proxy in the environment does not apply to Triton.
    ("grpc.enable_http_proxy", 0),
    # Triton sends the reason why a model does not load as metadata; it can be long.
    ("grpc.max_metadata_size", 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 1024 * 1024),
]
_ADDRESS = re.compile(r"[^\s/]+:\d{1,5}")
_PREFIX = re.compile(r"\s*\[StatusCode\.\w+\]\s*")
_MAX_LENGTH = 500  # characters of a reason


def triton_url() -> str:
    """Triton's gRPC address: SOD_TRITON_URL, which the gateway reads too, or Triton's default port on this machine."""
    return os.environ.get("SOD_TRITON_URL") or DEFAULT_URL


def load_exported(url: str, repository: Path, name: str) -> None:
    """Load an exported model, with the stages that its configuration names and its entrance for pixels.

    Raises:
        ExportError: see `load_model`; or the configuration cannot be read.
    """
    config = read_config(repository / name / "config.pbtxt")
    parts = [step.model_name for step in config.ensemble_scheduling.step]
    if (repository / pixel_entrance(name)).is_dir():  # models that were exported earlier have none
        parts.append(pixel_entrance(name))
    load_model(url, name, parts)


def load_model(url: str, ensemble: str, stages: Sequence[str], *, timeout_s: float = 600) -> None:
    """Load or reload a model, and check that it is ready.

    Loading the ensemble suffices in the good case: Triton also loads the stages whose files have changed, replaces the
    old ones when all have loaded, and lets the old ones finish their requests. (Tested with Triton 24.10: no request
    fails. Loading one stage first fails if the classes have changed.) But if a changed stage does not load, Triton
    keeps the old one without an error, and reports it as READY. Therefore each stage is loaded again by itself: for an
    up-to-date stage this does nothing, otherwise Triton returns the reason.

    Args:
        url: Triton's gRPC address, host:port.
        ensemble: the model's name.
        stages: names of the ensemble's stages, in any order, and of its entrance for pixels.
        timeout_s: for each request; building an engine may take minutes.

    Raises:
        ExportError: Triton cannot be reached, rejects the model, or does not serve it afterwards.
    """
    with _client(url) as client:
        LOG.info("Triton at %s: loading %s", url, ensemble)
        with _as_export_error(url, f"did not load {ensemble}"):
            client.load_model(ensemble, client_timeout=timeout_s)
        for stage in stages:
            with _as_export_error(url, f"did not load {stage}"):
                client.load_model(stage, client_timeout=timeout_s)
        with _as_export_error(url, "did not list its models"):
            states = {model.name: model for model in client.get_model_repository_index(client_timeout=60).models}
    for name in (*stages, ensemble):
        model = states.get(name)
        if model is None or model.state != "READY":
            state, reason = (model.state or "not loaded", model.reason) if model else ("missing", "")
            raise ExportError(f"Triton at {url} loaded {ensemble}, but {name} is {state}: {_reason(reason)}")
    LOG.info("Triton at %s serves %s", url, ensemble)


def ready_models(url: str) -> list[str]:
    """Names of the models that a Triton serves, stages included.

    Raises:
        ExportError: no Triton responds at `url`.
    """
    with _client(url) as client, _as_export_error(url, "did not list its models"):
        index = client.get_model_repository_index(client_timeout=60).models
    return [model.name for model in index if model.state == "READY"]


def unload_models(url: str, names: Sequence[str]) -> None:
    """Unload models in this order: ensembles before their stages. Running requests finish.

    Raises:
        ExportError: Triton cannot be reached, or does not unload one.
    """
    with _client(url) as client:
        for name in names:
            with _as_export_error(url, f"did not unload {name}"):
                client.unload_model(name, client_timeout=600)


def _client(url: str) -> InferenceServerClient:
    if not _ADDRESS.fullmatch(url):
        raise ExportError(f"{url!r} is not the address of a Triton server: give HOST:PORT, for example {DEFAULT_URL}")
    return InferenceServerClient(url, channel_args=_CHANNEL_ARGS)


@contextmanager
def _as_export_error(url: str, failure: str) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        reason, status = _reason(str(error.message() or "")), str(error.status())
        if status == "StatusCode.UNAVAILABLE" and "connect" in reason.lower():
            raise ExportError(
                f"no Triton responds at {url}: check that the server is running and that this is its gRPC port"
            ) from error
        if status == "StatusCode.DEADLINE_EXCEEDED":
            reason = "it did not respond in time"
        elif "failed to poll from model repository" in reason:
            reason += " (check that it serves the folder of the export)"
        raise ExportError(f"Triton at {url} {failure}: {reason}") from error


def _reason(text: str) -> str:
    """Triton's message on one line, shortened to `_MAX_LENGTH`."""
    sentence = " ".join(_PREFIX.sub("", text).split())
    return (sentence if len(sentence) <= _MAX_LENGTH else sentence[: _MAX_LENGTH - 1] + "…") or "it gives no reason"
