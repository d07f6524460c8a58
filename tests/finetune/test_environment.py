"""The errors when ppdet's environment cannot be created."""

import pytest

from finetune import environment
from finetune.errors import FinetuneError


def test_without_paddle_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(FinetuneError, match="make finetune"):
        environment.ensure(tmp_path)


def test_a_wheel_that_cannot_be_installed_is_reported(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("no-such-thing @ file:///nowhere/x-1-py3-none-any.whl --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(FinetuneError, match="cannot be installed"):
        environment.ensure(tmp_path / "made", lock)
    with pytest.raises(FinetuneError, match="cannot be installed"):  # the failed environment is not reused
        environment.ensure(tmp_path / "made", lock)
