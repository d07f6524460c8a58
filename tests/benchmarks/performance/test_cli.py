"""The command lines of `sod bench`."""

import json
import re
import tomllib
from pathlib import Path

import cv2
import pytest

import benchmarks.cli
from benchmarks.performance import cli, machine, run
from benchmarks.performance.estimate import estimate, estimated_seconds
from benchmarks.performance.options import CPU_PROFILES, GPU_PROFILES, SECTIONS
from export.verification.images import synthetic_image
from server.devices import KINDS

ROOT = Path(__file__).parents[3]
COMMANDS = (
    "report",
    "batch",
    "edge",
    "fleet",
    "gateway-overhead",
    "gpu",
    "gpu-day",
    "overload",
    "slices",
    "sdk-throughput",
    "watch",
)


@pytest.fixture
def started_runs(monkeypatch):
    """The options of the runs that would be started."""
    options_of_runs = []
    monkeypatch.setattr(cli.run, "run", lambda options, **_: options_of_runs.append(options))
    return options_of_runs


def test_the_defaults(started_runs):
    assert cli.main([]) == 0
    (options,) = started_runs
    assert options.concurrency == (1, 2, 4, 8, 16)
    assert set(options.sections) == set(SECTIONS) - {"soak"}
    assert set(CPU_PROFILES) <= set(options.profiles)
    assert options.images[0].name == "synthetic.jpg"
    assert not options.quick


def test_quick_is_short(started_runs):
    assert cli.main(["--quick"]) == 0
    (options,) = started_runs
    assert (options.sections, options.rounds, options.seconds) == (("load",), 1, 1.0)
    assert len(options.profiles) == 1


def test_quick_measures_one_model_in_about_a_minute(started_runs, monkeypatch):
    assert cli.main(["--quick"]) == 0
    monkeypatch.setattr(run, "_served", lambda _: ["PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-demo"])
    models = run._models(started_runs[0])
    assert models == ("PP-YOLOE_plus_SOD-demo",)
    assert 20 < estimated_seconds(started_runs[0], 1) <= 60
    line = estimate(started_runs[0], models)
    assert "PP-YOLOE_plus_SOD-demo in " in line
    assert re.search("about [2-6]0 seconds", line)
    monkeypatch.setattr(run, "_served", lambda _: ["mine", "others"])
    assert run._models(started_runs[0]) == ("mine",)


def test_the_estimate_grows_with_what_is_measured(started_runs):
    assert cli.main(["--quick", "--profiles", "cpu_bf16", "cpu_int8", "--rounds", "3"]) == 0
    assert cli.main(["--quick", "--profiles", "cpu_bf16", "--sections", "load", "soak"]) == 0
    long, short = started_runs
    assert estimated_seconds(long, 2) > 4 * estimated_seconds(short, 1)
    assert "minutes" in estimate(long, ("a", "b"))
    assert "and what soak takes" in estimate(short, ("a",))


def test_soak_adds_its_section(started_runs):
    assert cli.main(["--soak", "10"]) == 0
    assert "soak" in started_runs[0].sections
    assert json.dumps(started_runs[0].as_dict())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "0 is not greater than 0"),
        (["--concurrency", "-1"], "not greater than 0"),
        (["--profiles", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_a_wrong_option_is_a_usage_error(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "/nowhere/a.jpg"], "/nowhere/a.jpg cannot be read"),
        (["--model-repository", "/nowhere"], "there is no model repository at /nowhere"),
        (["--models", "yolo", "--profiles", "cpu_bf16"], "yolo/config.pbtxt cannot be read"),
    ],
)
def test_an_impossible_measurement_is_one_sentence(words, message, tmp_path, capsys):
    assert cli.main([*words, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_stopped_run_can_be_resumed(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.run, "run", stop)
    assert cli.main([]) == 130
    assert "--resume continues" in capsys.readouterr().err


def test_a_finished_run_is_resumed_only_with_the_same_options_machine_and_commit(tmp_path, capsys):
    image, out = tmp_path / "a.jpg", tmp_path / "out"
    cv2.imwrite(str(image), synthetic_image(20, 30))
    out.mkdir()
    file = out / "results.json"
    options = {"repository": "model_repository", "profiles": ["cpu_bf16"], "images": ["a.jpg"], "threshold": 0.5}
    results = {"S": {"load": {"profiles": {}, "paddlex": None, "others": []}}}
    document = {"options": options, "machine": machine.describe(), "models": results}
    words = ["--images", str(image), "--out", str(out), "--models", "S", "--profiles", "cpu_bf16"]
    words += ["--sections", "load", "--resume"]

    def resume(**changes) -> tuple[int, str]:
        file.write_text(json.dumps({**document, **changes}))
        status = cli.main(words)
        return status, capsys.readouterr().err

    status, message = resume()
    assert status == 0
    assert re.fullmatch(rf"report and results, after \d+ s: {re.escape(str(out))}\n", message)
    status, error = resume(options={**options, "threshold": 0.1})
    assert (status, error) == (
        1,
        f"sod bench: {file} was measured with another threshold: run without --resume, or choose another --out\n",
    )
    status, error = resume(machine={**document["machine"], "commit": "another"})
    assert status == 1
    assert "was measured with another commit" in error
    file.write_text("{")
    assert cli.main(words) == 1
    assert "run without --resume" in capsys.readouterr().err


def test_the_profiles_of_a_report_are_the_launchers() -> None:
    assert KINDS["cpu"].profiles == CPU_PROFILES
    assert KINDS["gpu"].profiles == GPU_PROFILES


class TestCommands:
    def test_each_command_has_help(self, capsys):
        for name in COMMANDS:
            with pytest.raises(SystemExit) as stop:
                benchmarks.cli.main([name, "--help"], prog="sod bench")
            assert stop.value.code == 0
            assert capsys.readouterr().out.startswith("usage: sod bench")

    def test_the_help_names_every_command(self, capsys):
        with pytest.raises(SystemExit):
            benchmarks.cli.main(["--help"], prog="sod bench")
        out = capsys.readouterr().out
        assert all(name in out for name in COMMANDS)

    def test_an_unknown_command_is_refused(self, capsys):
        assert benchmarks.cli.main(["everything"], prog="sod bench") == 2
        said = capsys.readouterr().err
        assert f"there is no command 'everything'; choose one of {', '.join(COMMANDS)}" in said

    def test_sod_has_the_command(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert project["entry-points"]["sod.commands"]["bench"] == "benchmarks.cli:main"
