"""The chart, rendered by the real helm."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.podman import ROOT
from tests.required import require

CHART = ROOT / "deploy/helm/triton-sod"
_HELM = ROOT / ".cache/deploy/helm"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it; skipped where it is absent, except in CI."""
    program = str(_HELM) if _HELM.is_file() else shutil.which("helm")
    require(program, "helm is absent: tests/deploy/get-helm brings it")
    return subprocess.run(
        [str(program), *arguments], check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def render(tmp_path: Path, values: dict[str, Any], release: str = "sod") -> list[dict[str, Any]]:
    """The documents of a release with these values."""
    done = template(tmp_path, values, release)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def template(tmp_path: Path, values: dict[str, Any], release: str = "sod") -> subprocess.CompletedProcess[str]:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    apis = ["monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1"]
    return helm("template", release, str(CHART), "-f", str(file), *(f"--api-versions={api}" for api in apis))


SPLIT = {"mode": "split", "split": {"acceptKnownVulnerabilities": True}}
GPU = {"gpu": {"enabled": True}, "image": {"repository": "registry.example/triton-sod"}, "runtimeClassName": "nvidia"}
EVERYTHING = {
    "replicas": 3,
    "settings": {"SOD_RATE_LIMIT": "10/second", "SOD_MAX_CONCURRENCY": 4},
    "apiKeys": {"value": "team:" + "0" * 64},
    "tls": {"existingSecret": "certificate"},
    "image": {"pullSecrets": ["registry"]},
    "monitoring": {"serviceMonitor": True, "prometheusRule": True, "dashboard": True, "labels": {"release": "p"}},
    "ingress": {"enabled": True, "className": "nginx", "host": "sod.example", "tlsSecret": "sod-example"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["sod.example"]},
    "networkPolicy": {"gatewayFrom": [{"podSelector": {}}]},
    "nodeSelector": {"pool": "detectors"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "podAnnotations": {"a": "b"},
    "serviceAccount": {"annotations": {"a": "b"}},
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "extraEnv": [{"name": "OMP_NUM_THREADS", "value": "2"}],
    "servedModels": ["PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-largesize-L"],
    "profile": "cpu_bf16",
}
MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    "split": SPLIT,
    "gpu": {**GPU, "models": {"source": "pvc", "pvc": {"existingClaim": "models"}}},
    "split on gpus": {"mode": "split", **GPU, "models": {"source": "pvc"}, "replicas": 2},
    "everything": EVERYTHING,
    "everything split": {**EVERYTHING, **SPLIT},
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "hpa split on gpus": {"mode": "split", **GPU, "autoscaling": {"kind": "hpa"}},
    "keda": {"autoscaling": {"kind": "keda"}},
    "keda on gpus": {**GPU, "autoscaling": {"kind": "keda"}},
    "init container": {"models": {"source": "initContainer", "initContainer": {"image": "registry.example/models:1"}}},
    "a Triton elsewhere": {"mode": "split", "split": {"tritonUrl": "triton.example:8001"}},
    "openshift": {"runAsUser": None, "networkPolicy": {"enabled": False}},
}
