"""Files that cannot be read, or not in windows: one sentence each, and never half a result."""

import builtins
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sod_client.cli import main
from sod_client.errors import DependencyError, InvalidConfigError, ServerError, SodError, UnreadableFileError
from sod_client.pipeline import Pipeline

from sod.image import DEFAULT_LIMITS
from tests.clients.conftest import FakeServer
from tests.clients.scenes.scene_server import field, spread, write

WIDTH, HEIGHT = 900, 700
BOXES = spread(WIDTH, HEIGHT)


def refused(pipeline: Pipeline, path: Path, **options: Any) -> str:
    with pytest.raises(SodError) as caught:
        list(pipeline.predict(path, slice_infer=True, **options))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return caught.value.sentence


def test_the_clients_limit_is_the_servers() -> None:
    from sod_client._inputs import scenes

    from gateway.settings import Settings

    assert DEFAULT_LIMITS.pixels == scenes.MAX_PIXELS
    assert Settings.model_fields["max_image_bytes"].default == scenes.MAX_BYTES


def test_a_truncated_file(pipeline: Pipeline, tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8)
    path = write(tmp_path / "scene.tif", random, compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cannot be " in refused(pipeline, path)


def test_a_tile_that_is_damaged_names_the_window(pipeline: Pipeline, spots: FakeServer, tmp_path: Path) -> None:
    """The scene fails whole: there is no hole in a result."""
    random = np.random.default_rng(0).integers(1, 255, (1, 5000, 5000), np.uint8)
    path = write(tmp_path / "scene.tif", random, compress="deflate")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    said = refused(pipeline, path, slice_size=1000)
    assert said.startswith("the reduced image cannot be read") or "the window at (" in said
    assert spots.requests[1:] == []


@pytest.mark.parametrize("dimension", [2**31 - 1, 2**32 - 1])
def test_absurd_dimensions(pipeline: Pipeline, tmp_path: Path, dimension: int) -> None:
    """The header alone says that the image is huge."""
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for index in range(count):
        entry = start + 2 + 12 * index
        if struct.unpack_from("<H", content, entry)[0] in (256, 257):
            struct.pack_into("<HII", content, entry + 2, 4, 1, dimension)
    path.write_bytes(content)
    said = refused(pipeline, path)
    assert "cannot be opened" in said or "slices, and the limit is 10,000,000" in said


@pytest.mark.parametrize("name", ["scene.tif", "scene.jp2", "photo.png", "photo.jpg"])
def test_other_content(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sod_client._inputs.scenes.MAX_BYTES", 5)
    path = tmp_path / name
    path.write_bytes(b"<VRTDataset><SimpleSource/></VRTDataset>")
    assert "only TIFF, JPEG 2000, JPEG and PNG can be read in windows" in refused(pipeline, path)


def test_samples_without_black_and_white(pipeline: Pipeline, tmp_path: Path) -> None:
    floats = write(tmp_path / "floats.tif", field(WIDTH, HEIGHT, BOXES).astype(np.float32))
    assert "floating-point samples, which have no fixed black and white: pass --stretch" in refused(pipeline, floats)
    signed = write(tmp_path / "signed.tif", field(WIDTH, HEIGHT, BOXES).astype(np.int16))
    assert "int16 samples" in refused(pipeline, signed)
    complexes = write(tmp_path / "complex.tif", field(WIDTH, HEIGHT, BOXES).astype(np.complex64))
    assert "complex numbers" in refused(pipeline, complexes)
    nothing = write(tmp_path / "nan.tif", np.full((1, HEIGHT, WIDTH), np.nan, np.float32))
    (result,) = pipeline.predict(nothing, slice_infer=True, stretch=True)
    assert result.boxes == []


def test_bands_that_do_not_exist(pipeline: Pipeline, tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    assert refused(pipeline, path, bands=(4, 2, 1)) == "bands: the image has 3 bands, not 4"


def test_one_block_that_is_too_large(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sod_client._inputs.rasters.raster._MAX_BLOCK_BYTES", 128 * 128 * 3 - 1)
    said = refused(pipeline, write(tmp_path / "blocks.tif", field(WIDTH, HEIGHT, BOXES)))
    assert "stored in blocks of 128 x 128 pixels" in said
    assert "gdal_translate -co TILED=YES" in said


def test_a_stretch_that_does_not_exist(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="stretch must be True, False, 'none', 'percentile', 'min-max', not"):
        pipeline.predict(tmp_path, stretch="sigma")  # type: ignore[arg-type]


def test_without_rasterio(
    pipeline: Pipeline, spots: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    normal = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("sod_client._inputs.rasters") or "rasters" in str(
            arguments[2] if len(arguments) > 2 else ""
        ):
            raise ImportError(name)
        return normal(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    (result,) = pipeline.predict(path, slice_infer=True)  # small enough to be sent, without its place on the map
    assert type(result).__name__ == "Result"
    assert spots.requests[-1][1]["slice"] is True
    monkeypatch.setattr("sod_client._inputs.scenes.MAX_PIXELS", 1000)
    with pytest.raises(DependencyError, match=r"needs rasterio: .*pip install './clients/python\[geo\]'"):
        list(pipeline.predict(path, slice_infer=True))


def test_a_too_large_image_without_slices_is_told_of_them(
    pipeline: Pipeline,
    spots: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (300, 300)).save(path)
    spots.respond_with(413, {"logId": "7", "errorCode": 413, "errorMsg": "The image has too many pixels"})
    with pytest.raises(ServerError) as caught:
        list(pipeline.predict(path))
    assert "--slice_infer" not in str(caught.value)
    monkeypatch.setattr("sod_client._inputs.scenes.MAX_PIXELS", 1000)
    assert main(["predict", str(path), "--url", spots.url, "--no_image"]) == 1
    assert "too many pixels (logId 7); --slice_infer, or slice_infer=True, reads an image" in capsys.readouterr().err
    spots.requests.clear()
    monkeypatch.setattr("sod_client._calls.session.MAX_SENT_BYTES", 10)
    with pytest.raises(UnreadableFileError, match="too large to be sent whole: --slice_infer"):
        list(pipeline.predict(path))
    assert spots.requests == []


def test_a_flag_before_the_image(spots: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scene.tif", field(WIDTH, HEIGHT, BOXES))
    for arguments in (["--slice_infer", str(path), "--stretch"], ["--stretch", "--slice_infer", str(path)]):
        assert main(["predict", "--url", spots.url, *arguments, "--format", "csv"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == len(BOXES) + 1
    assert main(["predict", str(path), "--slice_infer", "--resume", "--url", spots.url]) == 2
    assert capsys.readouterr().err == "sod: --resume needs the --save_path of the interrupted run\n"
