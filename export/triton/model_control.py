"""Hands an exported model to a running Triton, through its model control API: no restart, no request lost."""

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

LOG = logging.getLogger(__name__)
DEFAULT_URL = "127.0.0.1:8001"
_CHANNEL_ARGS = [
    # An http_proxy in the environment is not meant for the way to Triton.
    ("grpc.enable_http_proxy", 0),
    # Why a model does not load can be a long story, and comes as metadata.
    ("grpc.max_metadata_size", 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 1024 * 1024),
]
_ADDRESS = re.compile(r"[^\s/]+:\d{1,5}")
_PREFIX = re.compile(r"\s*\[StatusCode\.\w+\]\s*")
_LONGEST = 500


def triton_url() -> str:
    """Where Triton listens: the environment's SOD_TRITON_URL, as the gateway reads it, or this machine's default."""
    return os.environ.get("SOD_TRITON_URL") or DEFAULT_URL


def load_exported(url: str, repository: Path, name: str) -> None:
    """Load a model that was just exported; its stages are those that its configuration names.

    Raises:
        ExportError: as of `load_model`.
    """
    config = read_config(repository / name / "config.pbtxt")
    load_model(url, name, [step.model_name for step in config.ensemble_scheduling.step])


def load_model(url: str, ensemble: str, stages: Sequence[str], *, timeout_s: float = 600) -> None:
    """Load a model, or load it anew, and see that it is ready.

    One call does it: Triton loads the stages with the ensemble, anew where their files have changed, puts them in
    place of the old ones together when all have loaded, and lets the old ones finish their requests. (Tried with
    24.10: no request fails meanwhile. Loading a stage by itself first would not do where the classes have changed.)
    A changed stage that does not load it passes over in silence, and goes on with the old one, READY all the same: so
    each stage is asked for by itself afterwards, which does nothing unless that has happened, and then says why.

    Args:
        url: Triton's gRPC address, host:port.
        ensemble: the model.
        stages: of the ensemble, in any order.
        timeout_s: for all of them; building an engine may take minutes.

    Raises:
        ExportError: Triton cannot be reached, does not take the model, or does not serve it afterwards.
    """
    if not _ADDRESS.fullmatch(url):
        raise ExportError(f"{url!r} is no address of a Triton server, which looks like {DEFAULT_URL}")
    with InferenceServerClient(url, channel_args=_CHANNEL_ARGS) as client:
        LOG.info("Triton at %s: loading %s", url, ensemble)
        with _as_export_error(url, f"did not load {ensemble}"):
            client.load_model(ensemble, client_timeout=timeout_s)
        for stage in stages:
            with _as_export_error(url, f"did not load {stage}"):
                client.load_model(stage, client_timeout=timeout_s)
        with _as_export_error(url, "cannot be asked for its models"):
            states = {model.name: model for model in client.get_model_repository_index(client_timeout=60).models}
    for name in (*stages, ensemble):
        model = states.get(name)
        if model is None or model.state != "READY":
            state, reason = (model.state or "not loaded", model.reason) if model else ("absent", "")
            raise ExportError(f"Triton at {url} took {ensemble}, but {name} is {state}: {_clean(reason)}")
    LOG.info("Triton at %s serves %s", url, ensemble)


@contextmanager
def _as_export_error(url: str, what: str) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        said, status = _clean(str(error.message() or "")), str(error.status())
        if status == "StatusCode.UNAVAILABLE" and "connect" in said.lower():
            raise ExportError(
                f"no Triton answers at {url}: is the server running, and is this its gRPC port?"
            ) from error
        if status == "StatusCode.DEADLINE_EXCEEDED":
            said = "it gave no answer in time"
        elif "failed to poll from model repository" in said:
            said += " (does it serve the folder that was exported to?)"
        raise ExportError(f"Triton at {url} {what}: {said}") from error


def _clean(text: str) -> str:
    """What Triton says, on one line and of bounded length."""
    sentence = " ".join(_PREFIX.sub("", text).split())
    return (sentence if len(sentence) <= _LONGEST else sentence[: _LONGEST - 1] + "…") or "it does not say why"
