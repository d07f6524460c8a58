"""Data sets stored in one file."""

import numpy as np

from finetune.data import serialization
from tests.finetune.data.datasets import read_and_check, write_coco


def test_a_data_set_is_stored_and_read_back(tmp_path):
    data, _, _ = read_and_check(write_coco(tmp_path))
    (tmp_path / "data.json").write_text(serialization.dump(data))
    back = serialization.load(tmp_path / "data.json")
    assert back.names == data.names
    for one, two in zip(back.train, data.train, strict=True):
        np.testing.assert_allclose(one.boxes, two.boxes)
        assert (one.width, one.height, one.unlabelled) == (two.width, two.height, two.unlabelled)
    assert serialization.dump(back) == serialization.dump(data)
