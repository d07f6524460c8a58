"""The PyTorch detector: it computes the same as its ONNX model, and unlabelled classes have no loss."""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="PyTorch is in no lock file: pip install torch==2.13.0 in an environment of its own to run these"
)
import onnxruntime  # noqa: E402

from finetune.pytorch.loss import (  # noqa: E402
    Assignment,
    Target,
    assign,
    class_loss_mask,
    detection_loss,
    varifocal_loss,
)
from finetune.pytorch.model import Detector  # noqa: E402
from finetune.pytorch.weights import load_onnx, program_weights  # noqa: E402
from finetune.weights.onnx_weights import read  # noqa: E402
from tests.export.conftest import DEMO  # noqa: E402


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 640, 640, 3), np.uint8)


@pytest.fixture(scope="module")
def detector(pixels) -> Detector:
    model = Detector()
    load_onnx(model, DEMO, torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    return model


def test_it_computes_the_same_as_the_onnx_model(detector, pixels) -> None:
    with torch.no_grad():
        output = detector(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    options = onnxruntime.SessionOptions()  # the graph as it is: fused layers round more
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(DEMO), options, providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"pixels": pixels})
    np.testing.assert_allclose(output.boxes().numpy(), boxes, atol=2e-3)
    np.testing.assert_allclose(output.logits.sigmoid().numpy().transpose(0, 2, 1), scores, atol=1e-5)


def test_weights_survive_the_round_trip(detector) -> None:
    program, stored = program_weights(detector), read(DEMO)
    assert {k for k in stored if k.startswith("encoder")} == {k for k in program if k.startswith("encoder")}
    for name, value in stored.items():
        if name.startswith("encoder"):
            np.testing.assert_array_equal(program[name], value)
    number = next(i for i in range(100) if f"conv.{i}.mean" not in program and f"conv.{i}.weight" in program)
    np.testing.assert_allclose(program[f"conv.{number}.weight"], stored[f"conv.{number}.weight"], atol=1e-5)


def test_unlabelled_classes_have_no_loss() -> None:
    scores, boxes = torch.zeros(3, 10), torch.zeros(3, 4)
    positive = torch.tensor([True, False, False])
    labelled = torch.arange(10) == 3
    mask = class_loss_mask(Assignment(scores, boxes, positive), labelled)
    assert mask[0].all()  # an object is of one class and not of the others
    assert mask[1].tolist() == labelled.tolist()
    logits = torch.full((3, 10), 4.0, requires_grad=True)
    varifocal_loss(logits, scores, mask).backward()
    assert (logits.grad[1:, 0] == 0).all()
    assert (logits.grad[1:, 3] > 0).all()
    assert (logits.grad[0] > 0).all()


def test_objects_smaller_than_a_cell_get_an_anchor() -> None:
    points = torch.tensor([[4.0, 4.0], [12.0, 4.0], [40.0, 40.0]])
    strides = torch.full((3, 1), 8.0)
    target_boxes = torch.tensor([[6.0, 5.0, 9.0, 8.0]])  # contains no anchor centre
    boxes = torch.tensor([[4.0, 3.0, 9.0, 8.0], [6.0, 3.0, 14.0, 9.0], [30.0, 30.0, 50.0, 50.0]])
    assignment = assign(torch.full((3, 10), 0.1), boxes, points, strides, target_boxes, torch.tensor([2]))
    assert assignment.positive.tolist() == [True, True, False]
    assert (assignment.scores[:2, 2] > 0).all()
    assert assignment.scores.sum() == assignment.scores[:, 2].sum()


def test_the_loss_falls_in_training() -> None:
    torch.manual_seed(0)
    model = Detector().train()
    pixels = torch.zeros(2, 3, 96, 96)
    pixels[:, :, 20:50, 30:60] = 1
    target = Target(torch.tensor([[30.0, 20.0, 60.0, 50.0]]), torch.tensor([3]), torch.ones(10, dtype=torch.bool))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss, _ = detection_loss(model(pixels), [target, target])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] * 0.8
