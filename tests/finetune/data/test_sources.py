"""Which images are held out."""

import numpy as np
import pytest

from finetune.data.sources import AERIAL, CLASSES, SOURCES, STREET, THERMAL, aerial_part, street_part, thermal_part


def frames(part: str) -> np.ndarray:
    return np.array([f for f in range(10_500) if thermal_part(f"0_60_30_0_{f:05d}") == part])


def test_no_thermal_training_frame_is_near_a_held_out_one() -> None:
    train, held_out = frames("train"), frames("held out")
    nearest = np.abs(train[:, None] - held_out[None]).min()
    assert nearest > 25
    assert 0.1 < len(held_out) / 10_500 < 0.2
    assert len(train) + len(held_out) + len(frames("")) == 10_500


@pytest.mark.parametrize(("stem", "part"), [("0_60_30_0_00749", ""), ("1_90_70_0_00750", "held out"),
                                            ("1_90_70_0_00999", "held out"), ("1_60_30_0_01000", ""),
                                            ("1_60_30_0_01025", "train"), ("1_60_30_0_00000", "train")])  # fmt: skip
def test_blocks_of_thermal_frames(stem: str, part: str) -> None:
    assert thermal_part(stem) == part


def test_whole_scenes_are_held_out() -> None:
    assert [aerial_part(s) for s in ("MunichStreet02-MOS74", "DJI_0762-00013", "MOS74", "DJI_0005-0166")] == [
        "held out", "held out", "train", "train",
    ]  # fmt: skip
    assert [street_part(s) for s in ("D0_png.rf.1", "A10_png.rf.2")] == ["held out", "train"]


def test_what_a_source_does_not_label_is_known() -> None:
    by_name = {s.folder: dict(zip(CLASSES, s.labelled(), strict=True)) for s in SOURCES}
    assert by_name["hit_uav_thermal"]["pedestrian"]
    assert not by_name["jekhor_aerial_cars"]["pedestrian"]
    assert not by_name["atl_v2_street"]["motorcycle"]
    assert all(labelled["car"] for labelled in by_name.values())


@pytest.mark.parametrize("source", [THERMAL, AERIAL, STREET], ids=lambda s: s.folder)
def test_the_data_at_hand_splits_into_both_parts(source, shared) -> None:
    data = shared / "data" / "train_open"
    train, held_out = (source.samples(data, part) for part in ("train", "held out"))
    assert 0.05 < len(held_out) / len(train) < 0.4
    assert not {s.image for s in train} & {s.image for s in held_out}
    labelled = source.labelled()
    assert all(labelled[sample.labels.class_ids].all() for sample in train + held_out)
