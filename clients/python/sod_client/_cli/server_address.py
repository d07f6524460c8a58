"""Which server a command uses, the same rule for all commands; and the models that it has."""

import argparse
import os

import httpx

from sod_client._cli import console
from sod_client._config import read_model_dir
from sod_client._local_server.installed_models import find_repository, read_models
from sod_client._results.data import Model
from sod_client._transport.triton import PREFERENCE
from sod_client.pipeline import Pipeline, create_pipeline

DEFAULT_URL = "http://127.0.0.1:8080"
RULE = f"""\
server: --url; otherwise the environment variable SOD_URL; otherwise, unless --device, --use_hpip or a pipeline file
with a model_dir is given, the server at {DEFAULT_URL} if one runs there; otherwise a local server for the
duration of the command
"""
RULE_WITHOUT_START = f"""\
server: --url; otherwise the environment variable SOD_URL; otherwise the server at {DEFAULT_URL} if one runs there;
otherwise the installed model repository is read
"""
_PROBE_TIMEOUT_S = 3.0


def server_url(
    arguments: argparse.Namespace, *, needs_own_model: bool = False, starts_server: bool = True
) -> str | None:
    """The server's address; None if none is given and none runs.

    Args:
        arguments: those of the command.
        needs_own_model: whether a local server is started rather than a running one searched.
        starts_server: whether the command starts a local server then, which is printed.
    """
    url: str | None = arguments.url
    if url is None:
        url = os.environ.get("SOD_URL") or None
    if url is not None:
        return url
    may_search = arguments.device is None and not arguments.use_hpip and not needs_own_model
    if may_search and _is_detection_server(DEFAULT_URL):
        console.print_status(f"using the server at {DEFAULT_URL}")
        return DEFAULT_URL
    if starts_server:
        console.print_status("starting a local server; --url uses a running one")
    return None


def needs_own_model(arguments: argparse.Namespace) -> bool:
    """Whether the pipeline file names a model's folder, which a local server serves, and no --model overrides it."""
    return arguments.model is None and read_model_dir(arguments.pipeline) is not None


def open_pipeline(arguments: argparse.Namespace) -> Pipeline:
    """The pipeline of a command's options, as the functions of `options` add them.

    Raises:
        SodError: an option or the pipeline file is wrong, or the server does not start.
    """
    return create_pipeline(
        arguments.pipeline,
        device=arguments.device,
        use_hpip=arguments.use_hpip,
        engine=arguments.engine,
        engine_config=arguments.engine_config,
        hpi_config=arguments.hpi_config,
        url=server_url(arguments, needs_own_model=needs_own_model(arguments)),
        model=arguments.model,
        timeout=arguments.timeout,
        retries=arguments.retries,
        max_in_flight=arguments.max_in_flight,
        ca_file=arguments.ca,
        insecure=arguments.insecure,
    )


def find_models(arguments: argparse.Namespace, *, retries: int = 3) -> list[Model]:
    """The models of the server or, if none is given and none runs, those of the installed repository.

    Args:
        arguments: those of the command.
        retries: as of `create_pipeline`.

    Raises:
        SodError: the server does not list its models, or nothing is installed here.
    """
    url = server_url(arguments, starts_server=False)
    if url is not None:
        with create_pipeline(url=url, ca_file=arguments.ca, insecure=arguments.insecure, retries=retries) as pipeline:
            return pipeline.models()
    repository = find_repository()
    models = read_models(repository, PREFERENCE)
    console.print_status(f"no server runs; these models are installed in {repository}")
    return models


def _is_detection_server(url: str) -> bool:
    """Whether triton-sod or PaddleX's server listens there. Other services use this port, too."""
    try:
        with httpx.Client(trust_env=False, timeout=_PROBE_TIMEOUT_S) as client:
            response = client.get(f"{url}/health").json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(response, dict) and "errorCode" in response
