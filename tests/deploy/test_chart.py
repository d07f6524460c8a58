"""The Helm chart: what it renders, checked against Kubernetes' own schemas, and what it refuses."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from sod import __version__
from tests.deploy.chart import CHART, GPU, MATRIX, SPLIT, helm, render, template
from tests.deploy.podman import ROOT

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in the lock dev")
VERSIONS = [f"1.{minor}" for minor in range(28, 36)]
# Of operators and the Gateway API; Kubernetes has no schemas of these.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute"}


def kind(documents: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == wanted]


def pods(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document["spec"]["template"]["spec"] for document in kind(documents, "Deployment")]


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> dict[str, list[dict[str, Any]]]:
    """The documents of each release of the matrix."""
    folder = tmp_path_factory.mktemp("values")
    return {name: render(folder, values) for name, values in MATRIX.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid_for_every_supported_kubernetes(releases, version):
    documents = {json.dumps(document, sort_keys=True) for release in releases.values() for document in release}
    assert len(documents) > 40
    for text in sorted(documents):
        document = json.loads(text)
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", MATRIX)
def test_every_pod_is_confined_and_no_name_is_given_twice(releases, name):
    documents = releases[name]
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))
    for spec in [*pods(documents), *(document["spec"] for document in kind(documents, "Pod"))]:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", MATRIX)
def test_selectors_find_the_pods(releases, name):
    documents = releases[name]
    labels = [document["spec"]["template"]["metadata"]["labels"] for document in kind(documents, "Deployment")]
    for deployment in kind(documents, "Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"].items()
        assert selector <= deployment["spec"]["template"]["metadata"]["labels"].items()
    for service in kind(documents, "Service"):
        found = [found for found in labels if service["spec"]["selector"].items() <= found.items()]
        assert len(found) == 1
    for scaled in [*kind(documents, "HorizontalPodAutoscaler"), *kind(documents, "ScaledObject")]:
        target = scaled["spec"]["scaleTargetRef"]["name"]
        (deployment,) = [d for d in kind(documents, "Deployment") if d["metadata"]["name"] == target]
        assert "replicas" not in deployment["spec"], "an upgrade would undo the scaling"


def test_lint_finds_nothing():
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_has_the_version_of_the_product():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"mode": "split"}, "has known vulnerabilities: take mode all-in-one, or set split.acceptKnownVulnerabilities"),
        ({"mode": "both"}, "mode"),
        ({"replica": 2}, "replica"),
        ({"replicas": "two"}, "replicas"),
        ({"profile": "gpu_regular"}, "profile gpu_regular needs gpu.enabled=true"),
        ({"drain": {"margin": 5}}, "/drain/margin': minimum: got 5, want 16"),
        ({"apiKeys": {"value": "a:b", "existingSecret": "c"}}, "not both"),
        ({"rateLimitStorage": {"value": "redis://r:6379", "existingSecret": "c"}}, "not both"),
        (
            {"settings": {"SOD_API_KEYS": "a:b"}},
            "apiKeys, rateLimitStorage, tls, drain and split have values of their own",
        ),
        ({"settings": {"RATE": "1"}}, "'RATE' does not match pattern '^SOD_"),
        ({"models": {"source": "initContainer"}}, "models.initContainer.image names the image"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs names the Gateway"),
    ],
)
def test_a_mistake_is_refused_with_a_sentence(tmp_path, values, text):
    done = template(tmp_path, values)
    assert done.returncode != 0
    assert text in done.stderr


def test_settings_reach_the_gateway_as_they_are_written(tmp_path):
    """Helm reads numbers as floating-point, which print as 6.7108864e+07."""
    values = {"SOD_MAX_BODY_BYTES": 67108864, "SOD_FETCH_ENABLED": False, "SOD_TRACE_RATIO": 0.5, "SOD_MODEL": 'a"b'}
    (config,) = kind(render(tmp_path, {"settings": values, "startTimeout": 1000000}), "ConfigMap")
    expected = {"SOD_MAX_BODY_BYTES": "67108864", "SOD_FETCH_ENABLED": "false", "SOD_TRACE_RATIO": "0.5"}
    assert config["data"].items() >= {**expected, "SOD_MODEL": 'a"b'}.items()


@pytest.mark.parametrize(
    ("values", "secrets", "kept"),
    [
        ({"rateLimitStorage": {"value": "redis://r"}}, ["sod"], {"SOD_RATE_LIMIT_STORAGE": "redis://r"}),
        (
            {"rateLimitStorage": {"value": "redis://r"}, "apiKeys": {"value": "a:b"}},
            ["sod"],
            {"SOD_RATE_LIMIT_STORAGE": "redis://r", "SOD_API_KEYS": "a:b"},
        ),
        (
            {"rateLimitStorage": {"existingSecret": "r"}, "apiKeys": {"value": "a:b"}},
            ["sod", "r"],
            {"SOD_API_KEYS": "a:b"},
        ),
        ({"rateLimitStorage": {"existingSecret": "one"}, "apiKeys": {"existingSecret": "one"}}, ["one"], None),
        ({}, [], None),
    ],
)
def test_secrets_reach_the_gateway(tmp_path, values, secrets, kept):
    documents = render(tmp_path, values)
    (pod,) = pods(documents)
    (container,) = pod["containers"]
    found = [one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one]
    (config,) = kind(documents, "ConfigMap")
    assert found == [name.replace("sod", config["metadata"]["name"]) for name in secrets]
    assert [secret["stringData"] for secret in kind(documents, "Secret")] == ([kept] if kept else [])


def test_the_grace_period_is_drain_shutdown_and_margin(tmp_path):
    (pod,) = pods(render(tmp_path, {"drain": {"delay": 5, "timeout": 100, "margin": 16}}))
    assert pod["terminationGracePeriodSeconds"] == 121


def test_probes_do_not_kill_a_pod_that_loads(tmp_path):
    """Live is what the gateway answers while Triton loads; only readiness asks for an inference."""
    (pod,) = pods(render(tmp_path, {"tls": {"existingSecret": "t"}}))
    (container,) = pod["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_shared_memory_is_memory_and_sized_by_the_models(tmp_path):
    for values, size in (
        ({"servedModels": ["a", "b", "PP-YOLOE_plus_SOD-largesize-L"]}, "768Mi"),
        ({"servedModels": ["a"]}, "256Mi"),
        ({"sharedMemory": {"size": "3Gi"}}, "3Gi"),
    ):
        (pod,) = pods(render(tmp_path, values))
        (shm,) = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": size}


def test_gpus_are_asked_for_and_triton_alone_gets_them(tmp_path):
    documents = render(tmp_path, {**GPU, **SPLIT, "gpu": {"enabled": True, "count": 2}})
    limits = [pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for pod in pods(documents)]
    assert sorted(limits, key=str) == ["2", None]
    triton = next(pod for pod in pods(documents) if pod["containers"][0]["name"] == "triton-sod")
    assert triton["runtimeClassName"] == "nvidia"


def test_triton_s_ports_are_open_to_gateways_and_prometheus_only(tmp_path):
    documents = render(tmp_path, SPLIT)
    (policy,) = [p for p in kind(documents, "NetworkPolicy") if p["metadata"]["name"].endswith("-triton")]
    from_gateways, from_prometheus = policy["spec"]["ingress"]
    assert [port["port"] for port in from_gateways["ports"]] == ["grpc", "metrics"]
    (peer,) = from_gateways["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert [port["port"] for port in from_prometheus["ports"]] == ["metrics"]
    (triton,) = [pod for pod in pods(documents) if pod["containers"][0]["name"] == "triton-sod"]
    assert "--triton-host=0.0.0.0" in triton["containers"][0]["args"]


def test_the_schema_describes_every_value():
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    def compare(node: dict[str, Any], value: dict[str, Any], path: str) -> None:
        assert set(node["properties"]) == set(value), path
        for name, below in value.items():
            if "properties" in node["properties"][name]:
                compare(node["properties"][name], below, f"{path}.{name}")

    compare(schema, values, "")
    assert schema["additionalProperties"] is False


def test_the_readme_is_generated_from_the_values():
    done = subprocess.run(
        [sys.executable, "deploy/helm/readme.py"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (CHART / "README.md").read_text("utf-8") == done.stdout, "python deploy/helm/readme.py > …/README.md"


def test_the_rules_are_those_of_the_file(releases):
    (rule,) = kind(releases["everything"], "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text("utf-8"))
    (scaled,) = kind(releases["keda on gpus"], "ScaledObject")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert re.search(r'nv_inference_pending_request_count\{model=~"\.\*_detector",namespace="default"', query)
