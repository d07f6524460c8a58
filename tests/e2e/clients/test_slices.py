"""Slices that the client makes for Triton itself give the objects of those that the gateway makes."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sod_client import create_pipeline

from tests.e2e.conftest import DEMO
from tests.e2e.started_server import REPOSITORY, Serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large image of every kind of file."""
    folder = tmp_path_factory.mktemp("large")
    street = cv2.imread(str(REPOSITORY.parent / "docs" / "street.jpg"))
    scene = np.tile(street, (2, 2, 1))
    cv2.imwrite(str(folder / "a.png"), scene)
    cv2.imwrite(str(folder / "b.jpg"), scene, [cv2.IMWRITE_JPEG_QUALITY, 95])
    frames = [Image.fromarray(one[..., ::-1]) for one in (scene, scene[:, ::-1])]
    frames[0].save(folder / "c.tif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "d.pdf", resolution=144)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"slice_infer": True},
        {"slice_infer": "auto"},
        {"slice_infer": True, "slice_size": 500, "overlap_ratio": 0.1, "combine_method": "nmm", "match_metric": "iou"},
    ],
)
def test_the_same_objects_as_the_gateway_finds(server: Serving, folder: Path, options: dict[str, object]) -> None:
    pytest.importorskip("pypdfium2")
    pixels = cv2.imread(str(folder / "a.png"))
    inputs = [folder, (folder / "a.png").read_bytes(), pixels, Image.fromarray(pixels[..., ::-1]), pixels[..., 0]]
    if options["slice_infer"] != "auto":
        inputs = [folder / "a.png", pixels]
    with (
        create_pipeline(url=server.url, model=DEMO) as gateway,
        create_pipeline(url=f"grpc://{server.grpc}", model=DEMO) as triton,
    ):
        expected, found = (
            list(pipeline.predict(inputs, threshold=0.4, visualize=False, **options)) for pipeline in (gateway, triton)
        )
    assert len(expected) == len(found) == (9 if options["slice_infer"] == "auto" else 2)
    for one, other in zip(expected, found, strict=True):
        assert (one.input_path, one.page_index) == (other.input_path, other.page_index)
        if str(one.input_path).endswith(".jpg"):  # Pillow and OpenCV decode a JPEG to slightly different pixels
            assert len(other.boxes) == pytest.approx(len(one.boxes), rel=0.03)
            continue
        assert len(one.boxes) > 30
        assert [box["label"] for box in one.boxes] == [box["label"] for box in other.boxes]
        for box, same in zip(one.boxes, other.boxes, strict=True):
            assert box["coordinate"] == pytest.approx(same["coordinate"], abs=1e-2)
            assert box["score"] == pytest.approx(same["score"], abs=1e-4)


def test_objects_are_found_in_slices_that_are_lost_whole(server: Serving, folder: Path) -> None:
    encoded = io.BytesIO()
    Image.open(folder / "a.png").save(encoded, "WEBP", lossless=True, quality=0)
    with create_pipeline(url=f"grpc://{server.grpc}", model=DEMO) as triton:
        counts = [
            len(next(triton.predict(encoded.getvalue(), threshold=0.4, slice_infer=sliced)).boxes)
            for sliced in (False, True)
        ]
    assert counts[0] < counts[1] / 1.5
