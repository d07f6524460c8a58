"""Sliced inference: the arguments with PaddleDetection's names become the gateway's field `slice`."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from sod_client.cli import main
from sod_client.errors import InvalidConfigError
from sod_client.pipeline import Pipeline, create_pipeline

from tests.clients.conftest import FakeServer, jpeg

DEFAULTS = {"overlap": [0.25, 0.25], "combine": "nms", "matchMetric": "ios", "matchThreshold": 0.6}


@pytest.fixture
def pipeline(server: FakeServer) -> Pipeline:
    return create_pipeline(url=server.url)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"slice_infer": True}, True),
        ({"slice_infer": "auto"}, "auto"),
        ({"slice_infer": True, "slice_size": (640, 480)}, {"size": [640, 480], **DEFAULTS}),
        (
            {"slice_infer": True, "slice_size": 320, "overlap_ratio": 0.1},
            {"size": [320, 320], **DEFAULTS, "overlap": [0.1, 0.1]},
        ),
        (
            {"slice_infer": True, "combine_method": "nmm", "match_metric": "iou", "match_threshold": 0.5},
            {**DEFAULTS, "combine": "nmm", "matchMetric": "iou", "matchThreshold": 0.5},
        ),
    ],
)
def test_what_is_sent(server: FakeServer, pipeline: Pipeline, street: Path, arguments: Any, sent: Any) -> None:
    server.respond_with(200, {"errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": []}})
    list(pipeline.predict(street, **arguments))
    assert server.requests[-1][1]["slice"] == sent


def test_without_slices_the_field_is_left_out(server: FakeServer, pipeline: Pipeline, street: Path) -> None:
    """PaddleX's server has no such field."""
    server.respond_with(200, {"errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": []}})
    list(pipeline.predict(street))
    assert "slice" not in server.requests[-1][1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"slice_infer": "always"}, "slice_infer must be True, False or 'auto', not 'always'"),
        ({"slice_size": 640}, "options of slices have an effect only with slice_infer=True"),
        ({"slice_infer": "auto", "overlap_ratio": 0.1}, "only with slice_infer=True"),
        ({"slice_infer": True, "slice_size": 10}, "slice_size must be an integer from 32 to 16384, not 10"),
        ({"slice_infer": True, "slice_size": 640.5}, "slice_size must be an integer"),
        ({"slice_infer": True, "slice_size": (640,)}, r"slice_size must be a number or a pair of them"),
        ({"slice_infer": True, "overlap_ratio": (0.1, 0.95)}, "overlap_ratio must be a number from 0 to 0.9, not 0.95"),
        ({"slice_infer": True, "combine_method": "wbf"}, "combine_method must be nms, nmm or none, not 'wbf'"),
        ({"slice_infer": True, "match_metric": "giou"}, "match_metric must be ios or iou, not 'giou'"),
        ({"slice_infer": True, "match_threshold": True}, "match_threshold must be a number from 0.01 to 1, not True"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    server: FakeServer, pipeline: Pipeline, street: Path, arguments: Any, said: str
) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        pipeline.predict(street, **arguments)
    assert not server.requests


def test_the_command(server: FakeServer, street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.respond_with(200, {"errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": []}})
    command = ["predict", str(street), "--url", server.url, "--no_image"]
    assert main([*command, "--slice_infer"]) == 0
    assert main([*command, "--slice_infer", "auto"]) == 0
    options = ["--slice_size", "640", "480", "--overlap_ratio", "0.2", "0.1", "--combine_method", "nmm"]
    assert main([*command, "--slice_infer", *options, "--match_metric", "iou", "--match_threshold", "0.5"]) == 0
    assert [body["slice"] for _, body in server.requests] == [
        True,
        "auto",
        {"size": [640, 480], "overlap": [0.2, 0.1], "combine": "nmm", "matchMetric": "iou", "matchThreshold": 0.5},
    ]
    with pytest.raises(SystemExit):
        main([*command, "--slice_infer", "--match_metric", "giou"])
    assert "invalid choice: 'giou'" in capsys.readouterr().err


def described(**keys: Any) -> dict[str, Any]:
    module = {"module_name": "small_object_detection", **keys}
    return {"pipeline_name": "small_object_detection", "SubModules": {"SmallObjectDetection": module}}


@pytest.mark.parametrize(
    ("keys", "arguments", "sent"),
    [
        ({"slice_infer": True}, {}, True),
        ({"slice_infer": "auto"}, {}, "auto"),
        ({"slice_infer": True, "slice_size": [640, 480]}, {}, {"size": [640, 480], **DEFAULTS}),
        ({"slice_infer": True, "slice_size": 640}, {"slice_size": 320}, {"size": [320, 320], **DEFAULTS}),
        ({"slice_infer": True, "slice_size": 640}, {"slice_infer": "auto"}, "auto"),
        ({"slice_infer": True, "slice_size": 640}, {"slice_infer": False}, None),
        ({"slice_size": 640, "combine_method": "nmm"}, {}, None),
        (
            {"overlap_ratio": 0.1, "match_metric": "iou", "match_threshold": 0.5, "combine_method": "none"},
            {"slice_infer": True},
            {"overlap": [0.1, 0.1], "combine": "none", "matchMetric": "iou", "matchThreshold": 0.5},
        ),
        ({"slice_infer": None, "slice_size": None}, {"slice_infer": True}, True),
    ],
)
def test_the_keys_of_a_pipeline_file(server: FakeServer, tmp_path: Path, keys: Any, arguments: Any, sent: Any) -> None:
    server.respond_with(200, {"errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": []}})
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(described(**keys)))
    with create_pipeline(file, url=server.url) as pipeline:
        list(pipeline.predict(jpeg(), **arguments))
    assert server.requests[-1][1].get("slice") == sent


def test_the_command_reads_the_keys_of_the_file(server: FakeServer, street: Path, tmp_path: Path) -> None:
    server.respond_with(200, {"errorCode": 0, "errorMsg": "Success", "result": {"detectedObjects": []}})
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(described(slice_infer=True, slice_size=640)))
    command = ["predict", str(street), "--url", server.url, "--no_image", "--pipeline", str(file)]
    assert main(command) == 0
    assert main([*command, "--slice_infer", "auto"]) == 0
    assert [body["slice"] for _, body in server.requests] == [{"size": [640, 640], **DEFAULTS}, "auto"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"slice_infer": "always"}, "slice_infer must be True, False or 'auto', not 'always'"),
        ({"slice_size": "640x640"}, "slice_size must be a number or a pair"),
        ({"slice_size": [640]}, "slice_size must be a number or a pair"),
        ({"overlap_ratio": {"x": 1}}, "overlap_ratio must be a number or a pair"),
        ({"combine_method": "wbf"}, "combine_method must be nms, nmm or none, not 'wbf'"),
        ({"match_metric": ["ios"]}, "match_metric must be ios or iou"),
        ({"match_threshold": "0.6"}, "match_threshold must be a number from 0.01 to 1, not '0.6'"),
        ({"slice_infer": "auto", "slice_size": 640}, "options of slices have an effect only with slice_infer=True"),
        ({"slice_sise": 640}, "SmallObjectDetection.slice_sise is no setting of slices; these are: slice_infer, "),
    ],
)
def test_bad_keys_of_a_pipeline_file(server: FakeServer, keys: Any, said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        create_pipeline(config=described(**keys), url=server.url)
