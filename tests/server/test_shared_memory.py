"""How the stages share what is free in /dev/shm."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from server.errors import ServerError
from server.repository import find_ensembles, stage_configs
from server.triton import shared_memory
from server.triton.shared_memory import plan, python_backends

ROOT = Path(__file__).parents[2] / "model_repository"
PROFILE = "cpu_high_performance"
BACKENDS = python_backends(own=True)
MIB = 2**20


@pytest.fixture
def free(monkeypatch):
    def set_free(mib: int) -> None:
        monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda _: SimpleNamespace(free=mib * MIB))

    return set_free


def configs(*names: str):
    ensembles = [ensemble for ensemble in find_ensembles(ROOT, PROFILE, BACKENDS) if ensemble.name in names]
    return stage_configs(ROOT, ensembles, PROFILE)


DEMO, S, LARGE = (f"PP-YOLOE_plus_SOD-{name}" for name in ("demo", "S", "largesize-L"))


def test_with_room_each_stage_has_the_usual_region(free):
    free(1024)
    shared = plan(configs(DEMO), BACKENDS)
    assert (shared.regions, shared.region_bytes, shared.problem, shared.note) == (3, 32 * MIB, "", "")
    assert plan(configs(DEMO, S), BACKENDS).regions == 4, "the stages they share count once"


def test_in_64_mib_the_demo_starts_with_less(free):
    free(64)  # docker's default
    shared = plan(configs(DEMO), BACKENDS)
    assert shared.region_bytes == 18 * MIB
    assert shared.problem == ""
    assert "/dev/shm has 64 MiB free: each of 3 stages starts with 18 MiB" in shared.note
    assert "docker run --shm-size=1g" in shared.note


def test_what_does_not_fit_is_one_sentence_that_names_the_setting(free):
    free(64)
    problem = plan(configs(DEMO, S, LARGE), BACKENDS).problem
    assert problem.startswith("/dev/shm has 64 MiB free, and the models need ")
    assert "docker run --shm-size=1g" in problem
    assert "--model NAME" in problem
    free(16)
    assert plan(configs(DEMO), BACKENDS).problem.startswith("/dev/shm has 16 MiB free")


def test_large_images_need_larger_regions(free):
    free(1024)
    assert plan(configs(LARGE), BACKENDS).least > 3 * 2 * 1920 * 1920 * 3


def test_nvidias_own_backends_have_no_region(free):
    free(1024)
    assert plan(configs(DEMO), python_backends(own=False)).regions == 2


def test_an_absent_folder_is_one_sentence(tmp_path):
    with pytest.raises(ServerError, match="is absent or read-only"):
        plan(configs(DEMO), BACKENDS, tmp_path / "absent")
