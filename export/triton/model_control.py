"""Loads an exported model into a running Triton by its model control API: no restart, and no request fails."""

import json
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from export.errors import ExportError
from export.triton.repository import read_config
from sod.formats.weights import Stamp, sha256, stamp, weights_files
from sod.interface import WEIGHTS_SHA256, pixel_entrance
from sod.triton_addresses import TritonAddresses, join_port

LOG = logging.getLogger(__name__)
DEFAULT_URL = "127.0.0.1:8001"
_CHANNEL_ARGS = [
    # An http_proxy in the environment does not apply to Triton.
    ("grpc.enable_http_proxy", 0),
    # Triton sends the reason why a model does not load as metadata; it can be long.
    ("grpc.max_metadata_size", 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 1024 * 1024),
]
_PREFIX = re.compile(r"\s*\[StatusCode\.\w+\]\s*")
_MAX_LENGTH = 500  # characters of a reason


def triton_urls(given: str | None) -> list[str]:
    """The gRPC addresses of the Tritons to act on, host:port.

    Args:
        given: As the gateway's setting has them: `host:port`, `dns:///host:port`, several separated by commas; None or
            empty takes SOD_TRITON_URL, or Triton's default port on this machine.

    Raises:
        ExportError: it is no address, or a name has no address.
    """
    try:
        addresses = TritonAddresses.parse(given or os.environ.get("SOD_TRITON_URL") or DEFAULT_URL)
    except ValueError as error:
        raise ExportError(f"{error} (for example {DEFAULT_URL})") from error
    urls = dict.fromkeys(addresses.fixed)
    for name, port in addresses.names:
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ExportError(f"no Triton is known by the name {name}: {error.strerror or error}") from error
        urls.update(dict.fromkeys(join_port(str(address[0]), port) for *_, address in found))
    return list(urls)


def on_each(urls: Sequence[str], action: Callable[[str], None]) -> None:
    """Act on one Triton after the other, also when one fails, so that requests find the model somewhere meanwhile.

    Raises:
        ExportError: the action failed on at least one; the text names each.
    """
    failures = []
    for url in urls:
        try:
            action(url)
        except ExportError as error:
            failures.append(str(error))
    if failures:
        raise ExportError("; ".join(failures))


def load_exported(url: str, repository: Path, name: str) -> None:
    """Load an exported model, with the stages that its configuration names and its entrance for pixels.

    Raises:
        ExportError: see `load_model`; or the configuration cannot be read.
    """
    config = read_config(repository / name / "config.pbtxt")
    parts = [step.model_name for step in config.ensemble_scheduling.step]
    if (repository / pixel_entrance(name)).is_dir():  # models that were exported earlier have none
        parts.append(pixel_entrance(name))
    before = _stamp(repository, parts)
    load_model(url, name, parts)
    with _client(url) as client, _as_export_error(url, f"did not describe {name}"):
        files = _weights(client, repository, [step.model_name for step in config.ensemble_scheduling.step])
        digest = sha256(files) if files else None
        if digest is not None and before == _stamp(repository, parts):
            _tell(client, name, digest)


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
            _tell(client, ensemble, None)  # the hash of other weights, which Triton keeps with its configuration
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
    return InferenceServerClient(url, channel_args=_CHANNEL_ARGS)


def _tell(client: InferenceServerClient, ensemble: str, digest: str | None) -> None:
    """Have Triton tell the SHA-256 of an ensemble's weights with its configuration, or no longer tell one.

    The ensemble is loaded anew with another configuration, which takes milliseconds; requests find the one of before.
    """
    config = client.get_model_config(ensemble).config
    if digest is None:
        if WEIGHTS_SHA256 not in config.parameters:
            return
        del config.parameters[WEIGHTS_SHA256]
    else:
        config.parameters[WEIGHTS_SHA256].string_value = json.dumps(digest)
    client.load_model(ensemble, config=json.dumps(MessageToDict(config, preserving_proto_field_name=True)))


def _weights(client: InferenceServerClient, repository: Path, stages: Sequence[str]) -> tuple[Path, ...]:
    """The files that Triton has loaded for the detector among an ensemble's stages; none if they are not here."""
    versions = {model.name: model.version for model in client.get_model_repository_index().models}
    found = []
    for stage in stages:
        config = client.get_model_config(stage).config
        if config.backend != "python" and config.default_model_filename:
            folder = repository / stage / versions.get(stage, "")
            found.append(weights_files(folder, config.default_model_filename))
    return found[0] if len(found) == 1 and found[0][0].is_file() else ()


def _stamp(repository: Path, stages: Sequence[str]) -> Stamp | None:
    """Of all files in the version folders of these stages."""
    return stamp(tuple(sorted(path for stage in stages for path in (repository / stage).glob("[0-9]*/*.*"))))


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
