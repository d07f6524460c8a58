"""`sod bench gpu-day`: its parts, and a pretended day on the CPU with the demo."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_day import options as options_module
from benchmarks.gpu_day import parcels, report, run, tensorrt, utilisation
from benchmarks.gpu_day.cli import main
from benchmarks.gpu_day.options import Options
from tests.gateway.logged_process import ROOT

DEMO = "PP-YOLOE_plus_SOD-demo"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that pip can install, of 300 KiB."""
    path = tmp_path / "wheels" / "carried_along-1.0-py3-none-any.whl"
    path.parent.mkdir()
    information = "carried_along-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carried_along.py", "# " + 300_000 * "x")
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: carried-along\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return path


def test_what_is_packed_comes_out_the_same(wheel: Path, tmp_path: Path) -> None:
    written = parcels.pack([wheel.parent], tmp_path / "parts", 100_000)
    assert [part.name.rpartition(".")[2] for part in written] == ["000", "001", "002", "003", "json"]
    assert max(part.stat().st_size for part in written) == 100_000
    assert parcels.unpack(tmp_path / "parts", tmp_path / "out") == [tmp_path / "out" / wheel.name]
    assert (tmp_path / "out" / wheel.name).read_bytes() == wheel.read_bytes()


def test_parts_that_are_damaged_or_missing(wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = tmp_path / "parts"
    assert main(["pack", str(parts), str(wheel), "--part-mib", "1"]) == 0
    assert main(["pack", str(parts), str(wheel)]) == 1
    assert f"{parts} is not empty" in capsys.readouterr().err
    part = parts / f"{wheel.name}.000"
    content = part.read_bytes()
    part.write_bytes(content[:-1] + b"?")
    assert main(["unpack", str(parts), str(tmp_path / "out")]) == 1
    assert f"{wheel.name} differs from what was packed" in capsys.readouterr().err
    assert not (tmp_path / "out" / wheel.name).exists()
    part.unlink()
    assert main(["unpack", str(parts), str(tmp_path / "out")]) == 1
    assert f"{part} is missing: carry every file" in capsys.readouterr().err
    assert main(["unpack", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "has no manifest.json: `sod bench gpu-day pack` writes it" in capsys.readouterr().err
    (parts / "manifest.json").write_text('{"../x.whl": {"sha256": "", "parts": []}}')
    assert main(["unpack", str(parts), str(tmp_path / "out")]) == 1
    assert "names a file outside of its folder" in capsys.readouterr().err
    assert main(["pack", str(tmp_path / "none"), str(tmp_path / "out")]) == 1
    assert "there is no wheel" in capsys.readouterr().err


def test_a_pretended_day(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo has no FP16 file, and this machine neither a GPU nor TensorRT: these are lines of the report."""
    for name in options_module.STEPS:
        monkeypatch.setitem(options_module.BUDGETS, name, 300)  # other tests use the processors too
    out = tmp_path / "day"
    words = ["run", "--pretend", "--models", DEMO, "--seconds", "0.2", "--budget", "1200", "--out", str(out)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text == (out / "gpu-day.md").read_text()
    assert "**Pretended**: ONNX Runtime's CPU provider" in text
    results = json.loads((out / "results.json").read_text())
    assert set(results) == set(options_module.STEPS)
    batches = results["detector"]["result"][f"{DEMO}, FP32"]
    assert list(batches) == ["1", "2", "4", "8"]
    assert all(row["ms"] > 0 for row in batches.values())
    assert f"- {DEMO}, FP16: model_fp16.onnx is absent" in text
    served = results["gateway"]["result"][f"{DEMO}, FP32"]
    assert all(served[name][figure] > 0 for name in ("plain", "overlay") for figure in ("ms", "images_a_second"))
    assert results["slices"]["result"][DEMO]["slices"] > 20
    assert (out / "gpu-day.png").stat().st_size > 10_000
    assert "onnxruntime" in (out / f"models-{DEMO}-FP32/{DEMO}_detector/configs/cpu_high_performance.pbtxt").read_text()


def day(tmp_path: Path, models: tuple[str, ...] = (DEMO,)) -> Options:
    image = ROOT / "docs" / "examples" / "hit-uav.jpg"
    return Options(True, models, ROOT / "model_repository", image, tmp_path, 60.0)


def test_a_step_that_takes_too_long_is_ended_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(options_module.BUDGETS, "detector", 10)
    found = run.run(day(tmp_path, ("absent", DEMO)), ["detector"], 100)["detector"]
    assert found["problem"] == "it took longer than its 10 s and was ended"
    assert found["result"]["absent, FP32"] == {"missing": "model.onnx is absent"}
    assert found["seconds"] < 30


def test_a_step_that_fails_or_has_no_time_is_a_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    weights = broken / "models" / "bad_detector" / "1" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"no model")
    image = ROOT / "docs" / "examples" / "hit-uav.jpg"
    options = Options(True, ("bad",), broken / "models", image, broken, 1.0)
    found = run.run(options, ["detector"], 100)["detector"]
    assert "Protobuf parsing failed" in found["problem"]
    assert run.run(options, ["detector"], 0)["detector"]["problem"] == "no time was left for it"
    assert "**Not complete after" in report.markdown({"detector": found}, pretend=True)


def figures(ms: float, busy: float) -> dict[str, Any]:
    row = {"ms": ms, "images_a_second": 100.0, "clients": 16, "gpu": {"busy": busy}}
    return {"gateway": {"result": {"PP-YOLOE_plus_SOD-L, FP16": {"plain": row, "overlay": row}}, "seconds": 1.0}}


@pytest.mark.parametrize(("ms", "busy", "met"), [(11.4, 0.8, [True, True]), (11.5, 0.79, [False, False])])
def test_targets(ms: float, busy: float, met: list[bool]) -> None:
    """A tenth of 114.24 ms, and 80 %."""
    results = figures(ms, busy)
    assert [target.met for target in report.targets(results)] == met
    text = report.markdown(results, pretend=False)
    assert ("**not met**" in text) != all(met)
    assert f"| PP-YOLOE_plus_SOD-L, FP16 | no | {ms} | 114.2 | 100.0 | {busy:.0%} |" in text


def test_what_other_programs_print() -> None:
    assert utilisation.summary("80, 1024, 300.5\n[N/A], 1, 2\n90, 1026, 310.5\n") == {
        "samples": 2,
        "busy": 0.85,
        "memory_mib": 1025,
        "power_w": 305.5,
    }
    assert utilisation.summary("") == {}
    printed = "Throughput: 250.5 qps\nGPU Compute Time: min = 3.1 ms, max = 5.0 ms, mean = 3.9 ms, median = 3.8 ms"
    assert tensorrt.figures(printed) == {"ms": 3.9, "images_a_second": 250.5}
    assert tensorrt.figures("nothing") == {"missing": "trtexec printed no times"}
