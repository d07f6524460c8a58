"""Images and repositories for servers with the demo model."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.faults import DEMO
from tests.e2e.started_server import REPOSITORY


@pytest.fixture(scope="session")
def street() -> bytes:
    return (Path(__file__).parents[2] / "docs" / "street.jpg").read_bytes()


@pytest.fixture
def two_models(tmp_path):
    """The demo, and the same under the name `mine`."""
    folder = tmp_path / "models"
    for name in ("preprocess_640", "postprocess"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in (DEMO, "mine"):
        for source in (DEMO, f"{DEMO}_detector"):
            target = shutil.copytree(REPOSITORY / source, folder / source.replace(DEMO, name))
            for config in target.rglob("*.pbtxt"):
                config.write_text(config.read_text().replace(DEMO, name))
    return folder
