"""The model as ppdet builds it: weights of the demo's ONNX model, class masks, export. Runs in ppdet's environment."""

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
from finetune.variants import VARIANTS, variant_of
from finetune.weights.pdparams import read_pdparams
from finetune.weights.pretrained import DEMO

pytestmark = pytest.mark.filterwarnings(r"ignore:\s*Non compatible API", r"ignore:\s*In transformed code")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 640, 640, 3), np.uint8)


@pytest.fixture(scope="module")
def demo(pixels):
    made = model.build(VARIANTS["demo"], 10)
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


def test_it_computes_the_same_as_the_onnx_model(demo, pixels):
    session = onnxruntime.InferenceSession(str(DEMO), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"pixels": pixels})
    own_boxes, own_scores = raw(demo, pixels)
    np.testing.assert_allclose(own_boxes, boxes, atol=5e-3)
    np.testing.assert_allclose(own_scores, scores, atol=1e-4)


@pytest.mark.filterwarnings("ignore:When training, we now always track")
def test_training_mode_starts_with_the_outputs_of_evaluation_mode(demo, pixels):
    """The batch norms are calibrated, so that the statistics of the same batch change nothing."""
    expected = raw(demo, pixels)[1]
    training = copy.deepcopy(demo)
    for layer in training.sublayers():
        if "BatchNorm" in type(layer).__name__:
            layer.train()
    np.testing.assert_allclose(raw(training, pixels)[1], expected, atol=2e-2)


def test_the_variant_is_recognised_by_its_weights(demo):
    state = {name: value.numpy() for name, value in demo.state_dict().items()}
    assert variant_of(state) == "demo"
    assert variant_of({"backbone.stem.conv3.conv.weight": np.zeros((32, 1, 1, 1))}) is None


def test_classes_of_the_same_name_keep_their_weights(demo):
    state = {name: value.numpy() for name, value in demo.state_dict().items()}
    names = ("boat", "car")
    made = model.build(VARIANTS["demo"], 2)
    before = made.yolo_head.pred_cls[0].weight.numpy().copy()
    assert weights.load(made, state, CLASSES, names) == ["boat"]
    np.testing.assert_array_equal(made.yolo_head.pred_cls[0].weight.numpy()[1], state["yolo_head.pred_cls.0.weight"][3])
    np.testing.assert_array_equal(made.yolo_head.pred_cls[0].weight.numpy()[0], before[0])
    assert weights.load(model.build(VARIANTS["demo"], 2), state, None, names) == ["boat", "car"]


def test_weights_of_another_architecture_are_refused(demo):
    state = {name: value.numpy() for name, value in demo.state_dict().items()}
    with pytest.raises(FinetuneError, match="in the model"):
        weights.load(model.build(VARIANTS["PP-YOLOE_plus_SOD-S"], 10), state, CLASSES, CLASSES)
    state.pop("backbone.stem.conv1.conv.weight")
    with pytest.raises(FinetuneError, match="lack"):
        weights.load(model.build(VARIANTS["demo"], 10), state, CLASSES, CLASSES)


def test_a_broken_file_of_weights_is_refused(tmp_path):
    (tmp_path / "a.pdparams").write_bytes(b"not parameters")
    with pytest.raises(FinetuneError, match="holds no parameters"):
        read_pdparams(tmp_path / "a.pdparams")


def test_unlabelled_classes_have_no_loss():
    head = model.build(VARIANTS["demo"], 3).yolo_head
    score = paddle.full([1, 2, 3], 0.9)
    score.stop_gradient = False
    label = paddle.to_tensor(
        np.array([[[1, 0, 0], [0, 0, 0]]], np.float32)
    )  # an object at the first anchor, none at the second
    head._labelled = paddle.to_tensor(np.array([[[1.0, 0, 1]]], np.float32))  # class 1 is unlabelled
    head._varifocal_loss(score, label * 0.8, label).backward()
    gradient = score.grad.numpy()[0]
    assert gradient[1, 1] == 0
    assert (gradient[1, [0, 2]] > 0).all()
    assert (gradient[0, 1:] > 0).all()  # an object of class 0 is of no other class


def test_the_exported_model_computes_the_same_as_the_trained_one(demo, pixels, tmp_path):
    export.write(demo, "mine", CLASSES, tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["inference.json", "inference.pdiparams", "inference.yml"]
    exported = find_model(tmp_path)
    assert exported.config.labels == CLASSES
    assert exported.config.model_name == "mine"
    detections = ReferenceDetector(exported)(pixels[0][..., ::-1].copy())
    _, scores = raw(demo, pixels[:1])
    best = np.sort(scores[0].max(0))[::-1]
    assert len(detections)
    assert detections.scores.max() == pytest.approx(best[0], abs=1e-3)
