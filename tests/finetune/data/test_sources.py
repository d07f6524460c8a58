"""The splits of the sources."""

import numpy as np
import pytest

from finetune.data.sources import (
    AERIAL,
    ALL_SOURCES,
    CLASSES,
    STREET,
    THERMAL,
    aerial_split,
    scene_split,
    street_split,
    thermal_split,
)


def frames(split: str) -> np.ndarray:
    return np.array([f for f in range(10_500) if thermal_split(f"0_60_30_0_{f:05d}") == split])


def test_no_thermal_training_frame_is_near_a_validation_frame() -> None:
    train, validation = frames("train"), frames("validation")
    nearest = np.abs(train[:, None] - validation[None]).min()
    assert nearest > 25
    assert 0.1 < len(validation) / 10_500 < 0.2
    assert len(train) + len(validation) + len(frames("unused")) == 10_500


@pytest.mark.parametrize(("stem", "split"), [("0_60_30_0_00749", "unused"), ("1_90_70_0_00750", "validation"),
                                            ("1_90_70_0_00999", "validation"), ("1_60_30_0_01000", "unused"),
                                            ("1_60_30_0_01025", "train"), ("1_60_30_0_00000", "train")])  # fmt: skip
def test_blocks_of_thermal_frames(stem: str, split: str) -> None:
    assert thermal_split(stem) == split


def test_whole_scenes_are_for_validation() -> None:
    assert [aerial_split(s) for s in ("MunichStreet02-MOS74", "DJI_0762-00013", "MOS74", "DJI_0005-0166")] == [
        "validation", "validation", "train", "train",
    ]  # fmt: skip
    assert [street_split(s) for s in ("D0_png.rf.1", "A10_png.rf.2")] == ["validation", "train"]


def test_unlabelled_classes_of_the_sources() -> None:
    by_name = {s.folder: dict(zip(CLASSES, s.labelled(), strict=True)) for s in ALL_SOURCES}
    assert by_name["hit_uav_thermal"]["pedestrian"]
    assert not by_name["jekhor_aerial_cars"]["pedestrian"]
    assert not by_name["atl_v2_street"]["motorcycle"]
    assert all(labelled["car"] for labelled in by_name.values())


@pytest.mark.parametrize("source", [THERMAL, AERIAL, STREET], ids=lambda s: s.folder)
def test_the_shared_data_have_both_splits(source, shared) -> None:
    data = shared / "data" / "train_open"
    train, validation = (source.samples(data, split) for split in ("train", "validation"))
    assert 0.05 < len(validation) / len(train) < 0.4
    assert not {s.image for s in train} & {s.image for s in validation}
    labelled = source.labelled()
    assert all(labelled[sample.class_ids].all() for sample in train + validation)


def test_every_tenth_scene_is_for_validation() -> None:
    assert [scene_split(f"{i:05d}") for i in (0, 1, 9, 10)] == ["validation", "train", "train", "validation"]
