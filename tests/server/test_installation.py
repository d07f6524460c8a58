"""Which Triton is started, and how it is put together."""

from pathlib import Path

import pytest

from server import installation as module
from server.errors import ServerError
from server.installation import OWN_BACKENDS, find_installation, release_problem


def test_the_wheel_is_put_together(tmp_path):
    installation = find_installation()
    assert installation.binary.is_file()
    assert installation.backends == ("python", *OWN_BACKENDS)
    root = installation.backend_directory(tmp_path)
    assert root.parent == tmp_path
    assert (root / "python" / "triton_python_backend_stub").is_file()
    assert (root / "python" / "libtriton_python.so").is_file()
    for name in OWN_BACKENDS:
        assert (root / name / "model.py").is_file()
    library = (root / "python" / "libtriton_python.so").read_bytes()
    assert b"/tmp/python_env_" not in library, "a folder that a killed backend would leave in /tmp"
    assert library.count(b"././/python_env_") == 1
    # Triton refuses links that lead out of the folder.
    assert not [path for path in root.rglob("*") if path.is_symlink()]


def test_prepared_backends_are_used_where_they_are(tmp_path, monkeypatch):
    """As deploy/cpu.Dockerfile leaves them: nothing is written at run time, so that every folder may be noexec."""
    monkeypatch.setattr(module, "_PREPARED", tmp_path)
    installation = find_installation()
    assert installation.backend_directory(tmp_path / "elsewhere") == tmp_path
    assert not installation.makes_programs
    assert installation.own_backends


@pytest.mark.parametrize("release", ["24.10", "25.12", "26.06"])
def test_a_release_with_known_vulnerabilities_is_named(release):
    assert f"Triton {release} is older than 26.07" in release_problem(release)


@pytest.mark.parametrize("release", ["26.07", "26.08", "27.01", "", "custom"])
def test_later_and_unknown_releases_are_not(release):
    assert release_problem(release) == ""


def test_in_tritons_image_the_images_own_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("NVIDIA_TRITON_SERVER_VERSION", "26.08")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tritonserver").touch()
    for name in ("python", "tensorrt", "openvino", "onnxruntime", "paddle"):
        (tmp_path / "backends" / name).mkdir(parents=True)
    installation = find_installation(tmp_path)
    assert installation.binary == tmp_path / "bin" / "tritonserver"
    assert installation.backends == ("onnxruntime", "openvino", "paddle", "python", "tensorrt")
    assert installation.backend_directory(tmp_path / "elsewhere") == tmp_path / "backends"
    assert not installation.makes_programs
    assert not installation.own_backends
    assert installation.release == "26.08"


def test_an_absent_libpython_is_named_with_the_package(monkeypatch):
    monkeypatch.setattr("sysconfig.get_config_var", lambda _: "/nowhere")
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    with pytest.raises(ServerError, match=r"apt-get install libpython3\.1[12]"):
        find_installation()


def test_triton_does_not_get_the_gateway_s_secrets(tmp_path, monkeypatch):
    binary = tmp_path / "bin" / "tritonserver"
    binary.parent.mkdir()
    binary.touch()
    (tmp_path / "backends" / "python").mkdir(parents=True)
    for name in ("SOD_API_KEYS", "sod_tls_key_password", "SOD_TLS_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    environ = find_installation(tmp_path).environ
    assert "secret" not in environ.values()
    assert environ["OMP_NUM_THREADS"] == "3"


def test_malloc_keeps_the_memory_of_images_unless_the_user_says_otherwise(monkeypatch, tmp_path):
    binary = tmp_path / "bin" / "tritonserver"
    binary.parent.mkdir()
    binary.touch()
    (tmp_path / "backends" / "python").mkdir(parents=True)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    environ = find_installation(tmp_path).environ
    assert (environ["MALLOC_MMAP_THRESHOLD_"], environ["MALLOC_TRIM_THRESHOLD_"]) == ("8388608", "1")
