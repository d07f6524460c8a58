"""The targets of `sod bench fleet`, its arithmetic, and what it says where a section cannot run."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks.fleet import cli, dns, losses
from benchmarks.fleet.load import Record, p99
from benchmarks.fleet.report import core_costs, markdown, targets
from benchmarks.fleet.stand_in import NAME, write_repository
from gateway.inference.model_catalogue import read_info

_PHASE = {"requests": 400, "throughput": 29.0, "p99_ms": 450, "longest_ms": 500}
_GOOD: dict[str, Any] = {
    "kill": {"failed": 0, "share_s": 4.0, "before": _PHASE, "after": _PHASE},
    "freeze": {"failed": 0, "before": _PHASE, "after": {**_PHASE, "p99_ms": 900}},
    "rolling": {"failed": 0},
    "slow": {"failed": 0, "two": [20.0, 20.0, 19.0], "three": [19.0, 10.0, 19.0]},
    "dns": {"failed": 0, "taken_s": 5.1},
    "scaling": {
        "failed": 0,
        "steps": [
            {"tritons": 1, "throughput": 10.0, "gateway_ms": 6.0, "gateway_busy": 0.06},
            {"tritons": 8, "throughput": 78.0, "gateway_ms": 4.0, "gateway_busy": 0.31},
        ],
        "overlay": {"gateway_ms": 20.0},
    },
}


def test_good_figures_meet_every_target() -> None:
    assert len(targets(_GOOD)) == 11
    assert all(target.met for target in targets(_GOOD))
    assert "not met" not in markdown(_GOOD)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("kill", {"failed": 1, "failures": ["503: no"]}),
        ("kill", {"share_s": 10.1}),
        ("freeze", {"after": {**_PHASE, "p99_ms": 1351}}),
        ("freeze", {"after": {**_PHASE, "p99_ms": float("nan")}}),
        ("rolling", {"failed": 1}),
        ("slow", {"three": [17.0, 17.0, 19.0]}),
        ("dns", {"taken_s": 11.0}),
    ],
)
def test_a_figure_beyond_its_limit_is_not_met(section: str, change: dict[str, Any]) -> None:
    results = {section: {**_GOOD[section], **change}}
    assert sum(not target.met for target in targets(results)) == 1
    assert "**not met**" in markdown(results)
    assert all(failure in markdown(results) for failure in change.get("failures", ()))


def test_scaling_is_judged_until_the_gateway_has_no_processor_time_left() -> None:
    one, eight = _GOOD["scaling"]["steps"]
    slow = {**_GOOD["scaling"], "steps": [one, {**eight, "throughput": 60.0}]}
    assert [target.value for target in targets({"scaling": slow}) if not target.met] == [0.75]
    slow["steps"][1]["gateway_busy"] = 0.97
    assert all(target.met for target in targets({"scaling": slow}))


def test_a_core_ends_where_its_time_for_requests_does() -> None:
    assert core_costs(_GOOD["scaling"]) == {"without overlay": 4.0, "with overlay": 20.0}
    text = markdown({"scaling": _GOOD["scaling"]})
    assert "250 requests/s of one image, without overlay" in text
    assert "50 requests/s of one image, with overlay" in text


def test_record() -> None:
    record = Record([(0.0, 1.0), (1.0, 1.5), (2.0, 4.0)])
    assert record.latencies_ms(1.2, 5) == [500.0, 2000.0]
    assert record.rate(0.0, 2.0) == 1.0
    assert p99([]) != p99([])


def test_stand_in_is_a_model_for_the_gateway(tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "models", 0.1)
    configs = {path.parent.name: path.read_text() for path in folder.glob("*/config.pbtxt")}
    parsed = {name: text_format.Parse(text, ModelConfig()) for name, text in configs.items()}
    info = read_info(parsed.pop(NAME))
    assert info is not None
    assert info.labels == ("nothing",)
    (stage,) = parsed.values()
    assert stage.parameters["seconds"].string_value == "0.1"


def test_dns_is_left_out_with_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert "apt-get install dnsmasq-base" in dns.problem()
    assert cli.main(["--sections", "dns"]) == 0
    assert "left out: dns needs dnsmasq" in capsys.readouterr().err


def test_a_real_triton_is_killed_and_no_request_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(losses, "_LOST_S", 1.0)
    file = tmp_path / "figures.json"
    assert cli.main(["--sections", "kill", "--seconds", "2", "--logs", str(tmp_path), "--json", str(file)]) == 0
    assert '"failed": 0' in file.read_text()
