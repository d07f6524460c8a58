"""The model as ppdet builds it: filled from the demo's ONNX, its masks, its export. Run in ppdet's environment."""

import copy

import numpy as np
import pytest

pytest.importorskip("ppdet", reason="runs in ppdet's environment, by tests/finetune/test_command.py")
import onnxruntime
import paddle

from export.paddle.inference_model import find_model
from export.paddle.predictor import ReferenceDetector
from finetune.data.sources import CLASSES
from finetune.errors import FinetuneError
from finetune.paddledet import export, model, weights
from finetune.variants import SHAPES, variant_of
from finetune.weights.base import DEMO

pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Non compatible API", r"ignore:\s*In transformed code")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 640, 640, 3), np.uint8)


@pytest.fixture(scope="module")
def demo(pixels):
    made = model.build(SHAPES["demo"], 10)
    weights.from_onnx(made, DEMO, pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    made.eval()
    return made


def raw(made, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = paddle.to_tensor(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    with paddle.no_grad():
        head = made.yolo_head.forward_eval(made.neck(made.backbone({"image": image})))
        made.yolo_head.exclude_nms = True
        boxes, scores, _ = made.yolo_head.post_process(head, paddle.ones([len(pixels), 2]))
        made.yolo_head.exclude_nms = False
    return boxes.numpy(), scores.numpy()


def test_it_computes_what_the_onnx_does(demo, pixels):
    session = onnxruntime.InferenceSession(str(DEMO), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"pixels": pixels})
    own_boxes, own_scores = raw(demo, pixels)
    np.testing.assert_allclose(own_boxes, boxes, atol=5e-3)
    np.testing.assert_allclose(own_scores, scores, atol=1e-4)


@pytest.mark.filterwarnings("ignore:When training, we now always track")
def test_training_mode_begins_where_evaluation_is(demo, pixels):
    """Batch norms calibrated: the statistics of the very batch change nothing."""
    expected = raw(demo, pixels)[1]
    training = copy.deepcopy(demo)
    for layer in training.sublayers():
        if "BatchNorm" in type(layer).__name__:
            layer.train()
    np.testing.assert_allclose(raw(training, pixels)[1], expected, atol=2e-2)


def test_variants_are_told_by_their_weights(demo):
    state = {name: value.numpy() for name, value in demo.state_dict().items()}
    assert variant_of(state) == "demo"
    assert variant_of({"backbone.stem.conv3.conv.weight": np.zeros((32, 1, 1, 1))}) is None


def test_classes_keep_what_they_learnt_by_name(demo):
    state = {name: value.numpy() for name, value in demo.state_dict().items()}
    names = ("boat", "car")
    made = model.build(SHAPES["demo"], 2)
    before = made.yolo_head.pred_cls[0].weight.numpy().copy()
    assert weights.load(made, state, CLASSES, names) == ["boat"]
    np.testing.assert_array_equal(made.yolo_head.pred_cls[0].weight.numpy()[1], state["yolo_head.pred_cls.0.weight"][3])
    np.testing.assert_array_equal(made.yolo_head.pred_cls[0].weight.numpy()[0], before[0])
    assert weights.load(model.build(SHAPES["demo"], 2), state, None, names) == ["boat", "car"]


def test_weights_of_another_architecture_are_refused(demo):
    state = {name: value.numpy() for name, value in demo.state_dict().items()}
    with pytest.raises(FinetuneError, match="in the model"):
        weights.load(model.build(SHAPES["PP-YOLOE_plus_SOD-S"], 10), state, CLASSES, CLASSES)
    state.pop("backbone.stem.conv1.conv.weight")
    with pytest.raises(FinetuneError, match="lack"):
        weights.load(model.build(SHAPES["demo"], 10), state, CLASSES, CLASSES)


def test_a_broken_file_of_weights_is_said(tmp_path):
    (tmp_path / "a.pdparams").write_bytes(b"nothing of that kind")
    with pytest.raises(FinetuneError, match="holds no parameters"):
        weights.read_pdparams(tmp_path / "a.pdparams")


def test_unlabelled_classes_are_not_punished():
    head = model.build(SHAPES["demo"], 3).yolo_head
    score = paddle.full([1, 2, 3], 0.9)
    score.stop_gradient = False
    label = paddle.to_tensor(np.array([[[1, 0, 0], [0, 0, 0]]], np.float32))  # an object, and nothing
    head._labelled = paddle.to_tensor(np.array([[[1.0, 0, 1]]], np.float32))  # class 1 may be anywhere
    head._varifocal_loss(score, label * 0.8, label).backward()
    slopes = score.grad.numpy()[0]
    assert slopes[1, 1] == 0
    assert (slopes[1, [0, 2]] > 0).all()
    assert (slopes[0, 1:] > 0).all()  # the object is that class and no other


def test_the_exported_model_is_what_was_trained(demo, pixels, tmp_path):
    export.write(demo, "mine", CLASSES, tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["inference.json", "inference.pdiparams", "inference.yml"]
    found = find_model(tmp_path)
    assert found.config.labels == CLASSES
    assert found.config.model_name == "mine"
    seen = ReferenceDetector(found)(pixels[0][..., ::-1].copy())
    _, scores = raw(demo, pixels[:1])
    best = np.sort(scores[0].max(0))[::-1]
    assert len(seen)
    assert seen.scores.max() == pytest.approx(best[0], abs=1e-3)
