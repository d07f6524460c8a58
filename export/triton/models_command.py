"""`sod models load|unload|remove NAME`: installed models in a running server, and in the model repository."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from export.errors import ExportError
from export.triton.installed_models import find_installed, remove_installed
from export.triton.model_control import load_exported, on_each, ready_models, triton_urls, unload_models

_SHIPPED = tuple(f"PP-YOLOE_plus_SOD-{size}" for size in ("demo", "S", "L", "largesize-L"))


def main(arguments: Sequence[str] | None = None, prog: str = "sod models") -> int:
    """Run the command.

    Returns:
        0, or 1 after printing what is wrong.
    """
    options = _parser(prog).parse_args(arguments)
    action = _ACTIONS[options.action]
    try:
        action(triton_urls(options.triton), options.model_repository, options.name)
    except ExportError as error:
        print(f"{prog} {options.action}: {error}", file=sys.stderr)
        return 1
    return 0


def _load(urls: Sequence[str], repository: Path, name: str) -> None:
    find_installed(repository, name)

    def load(url: str) -> None:
        load_exported(url, repository, name)
        print(f"Triton at {url} serves {name}")

    on_each(urls, load)


def _unload(urls: Sequence[str], repository: Path, name: str) -> None:
    model = find_installed(repository, name)

    def unload(url: str) -> None:
        ready = ready_models(url)
        if name not in ready:
            raise ExportError(f"Triton at {url} does not serve {name}: it serves {', '.join(ready) or 'nothing'}")
        unload_models(url, [part for part in (*model.ensembles, *model.stages) if part in ready])
        print(f"Triton at {url} no longer serves {name}; its next start loads every model of its repository again")

    on_each(urls, unload)


def _remove(urls: Sequence[str], repository: Path, name: str) -> None:
    model = find_installed(repository, name)
    if name in _SHIPPED:
        raise ExportError(f"{name} belongs to triton-sod, and only models that you exported can be removed")
    for url in urls:
        try:
            ready = ready_models(url)
        except ExportError:  # no server runs there
            continue
        if name in ready:
            raise ExportError(f"Triton at {url} serves {name}: first `sod models unload {name}`")
    for folder in remove_installed(repository, model):
        print(f"removed {folder}")


_ACTIONS = {"load": _load, "unload": _unload, "remove": _remove}


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="load: make a running server load an installed model, without a restart. unload: make it stop "
        "serving the model. remove: delete the model from the model repository. Stages that other models use stay.",
    )
    parser.add_argument("action", choices=_ACTIONS)
    parser.add_argument("name", metavar="NAME", help="an installed model")
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        help="Triton's gRPC address; several are separated by commas, dns:///HOST:PORT is every address of a name "
        "(default: SOD_TRITON_URL of the environment, or 127.0.0.1:8001)",
    )
    parser.add_argument(
        "--model-repository",
        type=Path,
        default=Path("model_repository"),
        metavar="DIR",
        help="the server's model repository (default: %(default)s)",
    )
    return parser
