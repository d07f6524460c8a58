"""`sod completion`, and the completions that its script requests."""

import argparse
import os
from collections.abc import Sequence

from sod_client._cli import plugins, server_address
from sod_client.errors import SodError

SHELLS = ("bash", "zsh", "fish")
_REQUEST = "_ARGCOMPLETE"  # argcomplete's variable: the index of the program's name on the command line, from 1
_TIMEOUT_S = 2.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "completion",
        help="print the completion script of a shell",
        description="Print the script that completes `sod` in a shell. Add one of these lines to its start-up file:\n"
        '  bash   eval "$(sod completion bash)"\n'
        '  zsh    eval "$(sod completion zsh)"     # after compinit\n'
        "  fish   sod completion fish | source",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(arguments: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - only this command needs it

    print(shellcode(["sod"], shell=arguments.shell), end="", flush=True)
    return 0


def is_requested() -> bool:
    """Whether a completion script started this process."""
    return _REQUEST in os.environ


def complete(parser: argparse.ArgumentParser, own_commands: Sequence[str]) -> None:
    """Print the possible completions for the script, and end the process.

    Args:
        parser: parser of the command `sod`.
        own_commands: sub-commands that this package provides.
    """
    import argcomplete  # noqa: PLC0415
    from argcomplete.lexers import split_line  # noqa: PLC0415

    line = os.environ.get("COMP_LINE", "")
    words = split_line(line, int(os.environ.get("COMP_POINT") or len(line)))[3]
    if len(words) > 1 and words[1] not in own_commands and words[1] in plugins.installed():
        os.environ[_REQUEST] = "2"  # the sub-command's name takes the place of the program's
        _complete_in_parse_args()
        plugins.run(words[1], [])
    argcomplete.autocomplete(parser)


def add_completers(parser: argparse.ArgumentParser) -> None:
    """Complete `--model` with the names of a running server's models, in every sub-command."""
    pending = [parser]
    while pending:
        for action in pending.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
            elif action.dest == "model":
                action.completer = _model_names  # type: ignore[attr-defined]


def _model_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    from sod_client.pipeline import create_pipeline  # noqa: PLC0415

    url = getattr(parsed_args, "url", None) or os.environ.get("SOD_URL") or server_address.DEFAULT_URL
    try:
        with create_pipeline(url=url, timeout=_TIMEOUT_S, retries=0) as pipeline:
            return [model.name for model in pipeline.models()]
    except SodError:
        return []


def _complete_in_parse_args() -> None:
    """Complete as soon as any parser begins to parse, because other packages do not expose their parsers."""
    import argcomplete  # noqa: PLC0415

    def parse_args(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        argcomplete.autocomplete(self)

    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign, assignment]
