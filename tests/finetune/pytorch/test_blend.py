"""Blended weights lie between two states, and batch norms get the statistics of whole images."""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="PyTorch is in no lock file: pip install torch==2.13.0 in an environment of its own to run these"
)

from finetune.pytorch.batch_norms import batch_norms, calibrate  # noqa: E402
from finetune.pytorch.blend import blended, main  # noqa: E402
from finetune.pytorch.model import Detector  # noqa: E402
from finetune.training.augmentation import Crop  # noqa: E402


def test_a_share_of_the_training_is_kept() -> None:
    start = {"weight": torch.tensor([0.0, 8.0]), "steps": torch.tensor(3)}
    trained = {"weight": torch.tensor([4.0, 0.0]), "steps": torch.tensor(9)}
    result = blended(start, trained, 0.25)
    assert result["weight"].tolist() == [1.0, 6.0]
    assert result["steps"] == 9


def test_statistics_are_those_of_the_images() -> None:
    rng = np.random.default_rng(5)
    crops = [
        Crop(rng.integers(0, 256, (64, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        for _ in range(3)
    ]
    model = Detector()
    inputs: list[torch.Tensor] = []
    norm = batch_norms(model)[0]
    norm.running_mean.fill_(100.0)
    with norm.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0])):
        calibrate(model, crops)
    assert not model.training
    torch.testing.assert_close(norm.running_mean, inputs[0].mean((0, 2, 3)))
    assert len(inputs) == 1
    assert len(inputs[0]) == len(crops)


def test_a_share_over_one_is_refused(capsys, tmp_path) -> None:
    arguments = ["start.pt", "latest.pt", str(tmp_path / "out.pt"), "--data", str(tmp_path), "--share", "1.5"]
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "--share must be 0 to 1, not 1.5" in capsys.readouterr().err
