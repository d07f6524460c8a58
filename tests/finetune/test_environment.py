"""What is said when ppdet's environment cannot be made."""

import pytest

from finetune import environment
from finetune.errors import FinetuneError


def test_without_paddle_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(FinetuneError, match="make finetune"):
        environment.ensure(tmp_path)


def test_a_wheel_that_cannot_be_had_is_said(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("no-such-thing @ file:///nowhere/x-1-py3-none-any.whl --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(FinetuneError, match="cannot be installed"):
        environment.ensure(tmp_path / "made", lock)
    with pytest.raises(FinetuneError, match="cannot be installed"):  # tried again, not taken as done
        environment.ensure(tmp_path / "made", lock)
