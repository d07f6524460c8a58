"""The help and the usage errors of `python -m export`."""

import re

import pytest

from export.cli import main
from export.precision import Precision, Target


def usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints before it exits, on one line."""
    with pytest.raises(SystemExit):
        main(arguments, "sod export")
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split())


def test_the_help_shows_choices_by_value_and_each_default_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = usage(["--help"], capsys)
    assert text.startswith("usage: sod export [-h]")
    assert "{onnx,openvino,tensorrt,tensorrt-check,edge,all}" in text
    assert "{fp32,fp16,bf16,int8,all}" in text
    assert "the engine to export for (default: onnx)" in text
    assert not re.search(r"Target|Precision\.|<", text)
    options = re.split(r" (?=--[a-z_-]+ )", text.partition("options:")[2])
    assert {option.count("default") for option in options} == {0, 1}


@pytest.mark.parametrize(
    ("option", "values"), [("--target", [target.value for target in Target]), ("--precision", list(Precision))]
)
def test_a_wrong_choice_is_an_error_that_lists_the_values(
    option: str, values: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = usage([option, "best"], capsys)
    choices = ", ".join(repr(str(value)) for value in [*values, "all"])
    assert text.endswith(f"argument {option}: invalid choice: 'best' (choose from {choices})")
