"""The rendered pods really run: `podman kube play` starts the Deployments of both modes."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.chart import SPLIT, render
from tests.deploy.podman import ROOT, Podman, wait_until_ready

# No cgroups in some sandboxes, so no limits; the schedule of probes needs systemd; podman 4.3 publishes every port.
NOT_HERE = ("ports", "resources", "startupProbe", "livenessProbe", "readinessProbe")


class Played:
    """The pods of a release that podman has started."""

    def __init__(self, podman: Podman, folder: Any, image: str) -> None:
        self._podman = podman
        self._folder = folder
        repository, _, tag = image.rpartition(":")
        self._image = {"repository": repository, "tag": tag}
        self._files: list[str] = []
        self._secrets: list[str] = []

    def play(self, release: str, values: dict[str, Any], *, only: str = "") -> str:
        """Start one Deployment with what it refers to, and return its address."""
        documents = render(self._folder, {**values, "image": self._image, "replicas": 1}, release)
        deployments = [d for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"].endswith(only)]
        deployment = deployments[0]
        pod = deployment["spec"]["template"]["spec"]
        pod["topologySpreadConstraints"] = []
        for container in pod["containers"]:
            for name in NOT_HERE:
                container.pop(name, None)
        deployment["spec"]["replicas"] = 1
        self._make_volumes(pod)
        self._make_secrets([d for d in documents if d["kind"] == "Secret"])
        wanted = [*(d for d in documents if d["kind"] == "ConfigMap"), deployment]
        file = self._folder / f"{release}{only}.yaml"
        file.write_text(yaml.safe_dump_all(wanted))
        self._files.append(str(file))
        self._podman("kube", "play", str(file))
        for volume in pod["volumes"]:  # podman gives them the mode of the image's folder
            mounted = self._podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume["name"]).stdout.strip()
            Path(mounted).chmod(0o1777)
        name = f"{deployment['metadata']['name']}-pod-0-{pod['containers'][0]['name']}"
        networks = self._podman.inspect(name)
        infra = self._podman.inspect(networks["Pod"])["InfraContainerID"] if networks.get("Pod") else name
        addresses = self._podman.inspect(infra)["NetworkSettings"]["Networks"]
        return str(next(iter(addresses.values()))["IPAddress"])

    def _make_volumes(self, pod: dict[str, Any]) -> None:
        """podman 4.3 puts each emptyDir on disk, as root's; Kubernetes lets every user write, and has memory."""
        for volume in pod["volumes"]:
            options = [f"--opt={option}" for option in ("type=tmpfs", "device=tmpfs", "o=mode=1777")]
            if self._podman("volume", "exists", volume["name"], check=False).returncode:
                self._podman("volume", "create", *options, volume["name"])

    def _make_secrets(self, secrets: list[dict[str, Any]]) -> None:
        """podman 4.3 reads only secrets that are JSON in its own store."""
        for secret in secrets:
            content = {name: base64.b64encode(text.encode()).decode() for name, text in secret["stringData"].items()}
            file = self._folder / "secret.json"
            file.write_text(json.dumps(content))
            self._podman("secret", "rm", secret["metadata"]["name"], check=False)
            self._podman("secret", "create", secret["metadata"]["name"], str(file))
            self._secrets.append(secret["metadata"]["name"])

    def stop(self) -> None:
        for file in self._files:
            self._podman("kube", "down", file, check=False)
        for name in self._secrets:
            self._podman("secret", "rm", name, check=False)
        self._podman("volume", "prune", "--force", check=False)


@pytest.fixture
def played(podman: Podman, cpu_image: str, tmp_path: Any) -> Iterator[Played]:
    pods = Played(podman, tmp_path, cpu_image)
    yield pods
    pods.stop()


def detect(address: str, **headers: str) -> httpx.Response:
    url = f"http://{address}:8080/small-object-detection"
    return httpx.post(url, files={"image": (ROOT / "docs/street.jpg").read_bytes()}, headers=headers, timeout=60)


def test_the_all_in_one_pod_answers_with_its_settings_and_keys(podman, played):
    key = "0" * 43
    entry = "team:" + hashlib.sha256(key.encode()).hexdigest()
    values = {"apiKeys": {"value": entry}, "settings": {"SOD_RATE_LIMIT": "77/second"}}
    address = played.play("one", values)
    wait_until_ready(f"http://{address}:8080", podman, "one-triton-sod-pod-0-triton-sod")
    assert detect(address).status_code == 401
    response = detect(address, **{"X-API-Key": key})
    assert response.status_code == 200, response.text
    assert response.json()["result"]["detectedObjects"]
    assert response.headers["RateLimit-Limit"] == "77"
    about = podman.inspect("one-triton-sod-pod-0-triton-sod")
    assert about["HostConfig"]["ReadonlyRootfs"]
    assert about["Config"]["User"].startswith("10001")


def test_the_split_pods_answer(podman, played):
    triton = played.play("two", SPLIT, only="-triton")
    wait_until_ready(f"http://{triton}:8080", podman, "two-triton-sod-triton-pod-0-triton-sod")
    # Kubernetes' DNS gives the pods of the headless Service; here the address is given.
    gateway = played.play("gate", {"mode": "split", "split": {"tritonUrl": f"{triton}:8001"}})
    wait_until_ready(f"http://{gateway}:8080", podman, "gate-triton-sod-pod-0-gateway")
    response = detect(gateway)
    assert response.status_code == 200, response.text
    assert response.json()["result"]["detectedObjects"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{triton}:8000/v2/health/live", timeout=10)
    assert "nv_inference_count" in httpx.get(f"http://{triton}:8002/metrics", timeout=10).text
