"""The dashboard, the alerts and Prometheus' configuration: they name metrics that exist, with labels that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.podman import ROOT
from tests.required import require

FILES = ROOT / "deploy/helm/triton-sod/files"
# Of Triton, with its labels (docs of Triton's metrics).
TRITON = {
    "nv_inference_count", "nv_inference_exec_count", "nv_inference_compute_infer_duration_us",
    "nv_inference_pending_request_count",
}  # fmt: skip
SCRAPED = {"instance", "job", "le", "namespace", "pod"}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    require(shutil.which("promtool"), "promtool is absent: apt-get install prometheus")
    return subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True, timeout=60)


def documented() -> dict[str, set[str]]:
    """Metrics of docs/gateway.md, which a test compares with those of the gateway, and their labels."""
    page = (
        (ROOT / "docs/gateway.md")
        .read_text("utf-8")
        .partition("<!-- metrics:begin")[2]
        .partition("<!-- metrics:end")[0]
    )
    found = {}
    for name, kind, labels in re.findall(r"^\| `(sod_\w+)` \| (\w+) \| ([^|]*) \|", page, re.MULTILINE):
        names = [name] if kind != "histogram" else [f"{name}_{part}" for part in ("bucket", "sum", "count")]
        found.update({each: set(re.findall(r"`(\w+)`", labels)) for each in names})
    assert len(found) > 14
    return {**found, **{name: {"model", "version"} for name in TRITON}}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FILES / "dashboard.json").read_text("utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    rules = yaml.safe_load((FILES / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_metrics_and_labels_that_exist(expression):
    known = documented()
    names = re.findall(r"\b((?:sod|nv)_\w+)\b", expression)
    assert names
    assert set(names) <= set(known)
    labels = set().union(*(known[name] for name in names)) | SCRAPED
    used = set(re.findall(r"[{,](\w+)(?:=~|!=|=)", expression))
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        used |= set(re.findall(r"\w+", group))
    assert used <= labels


def test_every_metric_of_the_gateway_is_shown():
    shown = " ".join(expressions())
    assert [name for name in documented() if name.startswith("sod_") and not re.search(rf"\b{name}\b", shown)] == [
        "sod_request_seconds_sum", "sod_request_seconds_count", "sod_stage_seconds_bucket", "sod_image_bytes_sum",
        "sod_image_bytes_count", "sod_image_pixels_sum", "sod_image_pixels_count",
    ]  # fmt: skip


def test_prometheus_parses_every_expression(tmp_path):
    rules = [
        {"record": f"test:{number}", "expr": text.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, text in enumerate(expressions())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "test", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stderr


def test_prometheus_takes_the_alerts_and_the_configuration():
    for command, path in (("rules", FILES / "alerts.yaml"), ("config", ROOT / "deploy/monitoring/prometheus.yml")):
        options = ["--syntax-only"] if command == "config" else []
        done = promtool("check", command, *options, str(path))
        assert done.returncode == 0, done.stderr


def test_the_alerts_fire(tmp_path):
    """An unready gateway for three minutes, a tenth of whose requests fail."""
    path = 'instance="a",path="/small-object-detection"'
    tests = {
        "rule_files": [str(FILES / "alerts.yaml")],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": 'sod_ready{instance="a"}', "values": "0x20"},
                    {"series": f'sod_requests_total{{{path},method="POST",code="200"}}', "values": "0+540x20"},
                    {"series": f'sod_requests_total{{{path},method="POST",code="503"}}', "values": "0+60x20"},
                ],
                "alert_rule_test": [
                    alert("TritonSodNotReady", "1m", None),
                    alert("TritonSodNotReady", "3m", ("critical", "a answers no image",
                          "The readiness check has failed for two minutes; the gateway's log says why.")),
                    alert("TritonSodErrors", "15m", ("warning", "10% of the requests to a fail",
                          "500 is a defect, 503 an overload or Triton, 504 the deadline.")),
                    alert("TritonSodRefusesRequests", "15m", None),
                ],
            }
        ],
    }  # fmt: skip
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump(tests))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def alert(name: str, time: str, expected: tuple[str, str, str] | None) -> dict[str, Any]:
    if expected is None:
        return {"eval_time": time, "alertname": name, "exp_alerts": []}
    severity, summary, description = expected
    found = {
        "exp_labels": {"severity": severity, "instance": "a"},
        "exp_annotations": {"summary": summary, "description": description},
    }
    return {"eval_time": time, "alertname": name, "exp_alerts": [found]}


def test_the_panels_do_not_overlap_and_compose_mounts_what_exists():
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    for service in ("prometheus", "grafana"):
        for volume in compose["services"][service]["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith(".") or Path(ROOT / "deploy" / source).is_file(), source
