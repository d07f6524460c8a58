"""`sod completion`, and the completions that its script asks for."""

import argparse
import os
from collections.abc import Sequence

from sod_client._cli import commands as _commands
from sod_client._cli import where
from sod_client.errors import SodError

SHELLS = ("bash", "zsh", "fish")
_ASKED = "_ARGCOMPLETE"  # argcomplete's: the number of words before the ones to complete, from 1
_TIMEOUT_S = 2.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-command."""
    parser = commands.add_parser(
        "completion",
        help="print a shell's completion script",
        description="Print the script that completes `sod` in a shell. In its start-up file:\n"
        '  bash   eval "$(sod completion bash)"\n'
        '  zsh    eval "$(sod completion zsh)"     # after compinit\n'
        "  fish   sod completion fish | source",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - for this alone

    print(shellcode(["sod"], shell=arguments.shell), end="", flush=True)
    return 0


def is_asked() -> bool:
    """Whether a completion script started this process."""
    return _ASKED in os.environ


def answer(parser: argparse.ArgumentParser, own: Sequence[str]) -> None:
    """Tell the script what could come next, and end the process.

    Args:
        parser: of the whole command.
        own: its sub-commands that are not another package's.
    """
    import argcomplete  # noqa: PLC0415
    from argcomplete.lexers import split_line  # noqa: PLC0415

    line = os.environ.get("COMP_LINE", "")
    words = split_line(line, int(os.environ.get("COMP_POINT") or len(line)))[3]
    if len(words) > 1 and words[1] not in own and words[1] in _commands.installed():
        os.environ[_ASKED] = "2"  # its name stands for the program's
        _make_parsers_answer()
        _commands.run(words[1], [])
    argcomplete.autocomplete(parser)


def add_completers(parser: argparse.ArgumentParser) -> None:
    """Have `--model` complete the names of a running server's models, in every sub-command."""
    pending = [parser]
    while pending:
        for action in pending.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
            elif action.dest == "model":
                action.completer = _model_names  # type: ignore[attr-defined]


def _model_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    from sod_client.pipeline import create_pipeline  # noqa: PLC0415

    url = getattr(parsed_args, "url", None) or os.environ.get("SOD_URL") or where.DEFAULT_URL
    try:
        with create_pipeline(url=url, timeout=_TIMEOUT_S, retries=0) as pipeline:
            return [model.name for model in pipeline.models()]
    except SodError:
        return []


def _make_parsers_answer() -> None:
    """Another package's command shows its parser to nobody: it is caught as it begins to parse."""
    import argcomplete  # noqa: PLC0415

    def parse_args(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        argcomplete.autocomplete(self)

    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign, assignment]
