"""What PaddleX's users pass and set: a device for one call, unknown keywords, attributes of a pipeline."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sod_client import (
    AsyncPipeline,
    InvalidConfigError,
    InvalidThresholdError,
    Pipeline,
    SodWarning,
    UnsupportedDeviceError,
    create_pipeline,
)
from sod_client._local_server.device import Machine

from tests.clients.conftest import FakeServer, jpeg

NO_GPU = Machine(has_nvidia_gpu=False, is_triton_image=False, has_paddle=True, has_onnxruntime_gpu=True)
ONE_GPU = Machine(has_nvidia_gpu=True, is_triton_image=False, has_paddle=True, has_onnxruntime_gpu=True)


# The device of one call


def test_a_device_for_a_call_to_a_server_gives_a_warning(server: FakeServer) -> None:
    with create_pipeline(url=server.url) as pipeline:
        with pytest.warns(SodWarning, match="device has no effect: the server at http"):
            assert len(list(pipeline.predict(jpeg(), device="cpu"))) == 1
        with pytest.raises(UnsupportedDeviceError, match="there is no device 'tpu'"):
            pipeline.predict(jpeg(), device="tpu")
        assert len(list(pipeline.predict(jpeg(), device=None))) == 1


@pytest.mark.parametrize(
    ("machine", "own", "asked", "accepted"),
    [
        (NO_GPU, None, "cpu", True),
        (NO_GPU, "cpu", "cpu", True),
        (ONE_GPU, "gpu:0", "gpu:0", True),
        (ONE_GPU, "gpu:0", "gpu:1", False),
        (ONE_GPU, "gpu:0", "cpu", False),
        (ONE_GPU, "cpu", "gpu", False),
        (ONE_GPU, None, "gpu", False),
    ],
)
def test_the_device_of_a_local_server(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, own: Any, asked: str, accepted: bool
) -> None:
    monkeypatch.setattr(Machine, "detect", lambda: machine)
    pipeline = Pipeline(device=own)  # its local server is started by the first result
    if accepted:
        pipeline.predict(jpeg(), device=asked)
        return
    with pytest.raises(InvalidConfigError, match=rf"runs on the device '{own or 'cpu'}', not '{asked}': .*create_pipe"):
        pipeline.predict(jpeg(), device=asked)


# Unknown keywords


@pytest.mark.parametrize("kind", [create_pipeline, Pipeline, AsyncPipeline])
def test_an_unknown_argument_of_a_pipeline(kind: Any, server: FakeServer) -> None:
    with pytest.raises(TypeError, match=r"create_pipeline\(\) has no argument 'modle'; did you mean 'model'\?"):
        kind(url=server.url, modle="x")


@pytest.mark.parametrize("kind", [Pipeline, AsyncPipeline])
def test_an_unknown_argument_of_a_call(kind: Any, server: FakeServer) -> None:
    pipeline = kind(url=server.url)
    with pytest.raises(TypeError, match=r"predict\(\) has no argument 'treshold'; did you mean 'threshold'\?"):
        pipeline.predict("a.jpg", treshold=0.5)
    with pytest.raises(TypeError, match=r"has no argument 'xyz'; it has input, threshold, "):
        pipeline("a.jpg", xyz=1)


# Attributes


def test_the_threshold_can_be_set(server: FakeServer) -> None:
    with create_pipeline(url=server.url) as pipeline:
        for value, sent in ((0.25, 0.25), ({0: 0.5}, {"0": 0.5}), (None, None)):
            pipeline.threshold = value
            list(pipeline.predict(jpeg()))
            assert pipeline.threshold == value
            assert server.requests[-1][1]["threshold"] == sent
        with pytest.raises(InvalidThresholdError):
            pipeline.threshold = 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pp_option", "pp_option cannot be changed afterwards: pass pp_option= to create_pipeline"),
        ("device", "device cannot be changed afterwards: pass device= to create_pipeline"),
        ("use_hpip", "pass use_hpip= to create_pipeline"),
        ("model", "pass model= to create_pipeline"),
        ("treshold", "a pipeline has no setting 'treshold'; did you mean 'threshold'"),
    ],
)
def test_another_attribute_cannot_be_set(server: FakeServer, name: str, message: str) -> None:
    with create_pipeline(url=server.url) as pipeline, pytest.raises(AttributeError, match=message):
        setattr(pipeline, name, 1)


# result["input_img"]


def test_input_img_is_the_source_in_bgr(server: FakeServer, tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with create_pipeline(url=server.url) as pipeline:
        (result,) = pipeline.predict(tmp_path / "a.png")
        np.testing.assert_array_equal(result["input_img"], rgb[..., ::-1])
        assert set(result) == {"input_path", "page_index", "boxes"}
        with pytest.raises(KeyError, match="nonsense"):
            result["nonsense"]
        (drawn,) = pipeline.predict(rgb)
        with pytest.raises(KeyError, match="input_img: the image was not kept"):
            drawn["input_img"]
        (tmp_path / "a.png").unlink()
        with pytest.raises(KeyError, match="no such file"):
            result["input_img"]
