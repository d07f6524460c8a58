"""Where `tritonserver` and its backends come from: NVIDIA's image, or the wheel nvidia-pytriton.

The image has everything in its place. The wheel carries the real server and its Python backend. This module copies
the backend, the stub of the running Python version and our Python-based backends into one folder for Triton. In the
image of deploy/cpu.Dockerfile `python -m server.installation` has done that, and no program is written at run time.
"""

import importlib.metadata
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.errors import ServerError

IMAGE_ROOT = Path("/opt/tritonserver")
# NVIDIA's Python backend makes a folder for packed Python environments, which no model of ours uses, always in /tmp. A
# backend that is killed leaves the folder there, and one that finds /tmp read-only aborts. In the copy of the library
# the path begins in the working directory instead.
_ENVIRONMENT_FOLDER = b"/tmp/python_env_"
_ENVIRONMENT_FOLDER_HERE = b"././/python_env_"
_OWN_BACKENDS = Path(__file__).parent / "backends"
_PREPARED = Path(sys.prefix) / "share" / "triton-sod" / "backends"
_WHEEL_RELEASE = "24.10"
_LEAST_RELEASE = (26, 7)  # SECURITY.md lists what was fixed by then
OWN_BACKENDS = ("onnxruntime", "openvino", "paddle")

# By default glibc returns the memory of a decoded image to the kernel after each request and faults it in again, page
# by page: more than 1 ms of 10 for 1360 x 765 pixels (docs/performance.md). Blocks above the first limit still go back.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(8 * 1024 * 1024), "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024)}


@dataclass(frozen=True, slots=True)
class Installation:
    """A Triton that can be started.

    Attributes:
        name: for messages.
        binary: `tritonserver`.
        backends: names of the backends it has.
        environ: environment of the server and its stubs.
        backend_directory: returns the folder for `--backend-directory`; what has to be made, it makes in the folder
            that it is given.
        makes_programs: whether it puts programs and libraries there.
        own_backends: whether our Python-based backends stand for NVIDIA's C++ ones.
        release: of Triton, as NVIDIA counts its containers ("26.08"); empty if it is not known.
    """

    name: str
    binary: Path
    backends: tuple[str, ...]
    environ: dict[str, str]
    backend_directory: Callable[[Path], Path]
    makes_programs: bool = False
    own_backends: bool = False
    release: str = ""


def find_installation(image_root: Path = IMAGE_ROOT) -> Installation:
    """The image's Triton inside NVIDIA's image, else the wheel's.

    Raises:
        ServerError: neither is there, or the wheel does not fit this Python.
    """
    binary = image_root / "bin" / "tritonserver"
    if binary.is_file():
        return _of_image(binary, image_root / "backends")
    return _of_wheel()


def release_problem(release: str) -> str:
    """What is wrong with the release of Triton, as a part of a sentence; empty if it has the known fixes.

    Args:
        release: as NVIDIA counts its containers ("26.08"); empty if it is not known.
    """
    try:
        year, month = (int(part) for part in release.split(".")[:2])
    except ValueError:
        return ""
    if (year, month) >= _LEAST_RELEASE:
        return ""
    least = ".".join(f"{part:02}" for part in _LEAST_RELEASE)
    return f"Triton {release} is older than {least} and has known vulnerabilities (SECURITY.md)"


def _of_image(binary: Path, backends: Path) -> Installation:
    names = tuple(sorted(path.name for path in backends.iterdir() if path.is_dir()))
    release = os.environ.get("NVIDIA_TRITON_SERVER_VERSION", "")
    return Installation("Triton's image", binary, names, _environ([]), lambda _: backends, release=release)


def _of_wheel() -> Installation:
    libraries = [str(_wheel_folder("nvidia_pytriton.libs")), *_libpython_folder()]
    return Installation(
        "the embedded server",
        _wheel_folder("pytriton") / "tritonserver" / "bin" / "tritonserver",
        ("python", *OWN_BACKENDS),
        _environ(libraries),
        (lambda _: _PREPARED) if _PREPARED.is_dir() else _wheel_backends,
        makes_programs=not _PREPARED.is_dir(),
        own_backends=True,
        release=_WHEEL_RELEASE,
    )


def _environ(libraries: list[str]) -> dict[str, str]:
    """The launcher's environment with `libraries` first in the loader's path and this Python first in PATH.

    The stub takes its packages from that Python. The gateway's settings are left out: the process that decodes images
    of strangers must not hold its secrets.
    """
    environ = {name: value for name, value in os.environ.items() if not name.upper().startswith("SOD_")}
    found = [*libraries, *filter(None, [environ.get("LD_LIBRARY_PATH")])]
    if found:
        environ["LD_LIBRARY_PATH"] = ":".join(found)
    for name, value in _MALLOC.items():
        environ.setdefault(name, value)
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ.get('PATH', '')}"
    return environ


def _wheel_backends(folder: Path) -> Path:
    """Put the wheel's Python backend and our Python-based backends together in a folder of `folder`."""
    wheel = _wheel_folder("pytriton") / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerError(f"nvidia-pytriton has no Python backend for Python {version}: use 3.11 or 3.12")
    root = folder / "backends"
    # Copies: Triton refuses a link that leads out of the folder.
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(wheel / "backends" / "python", root / "python", ignore=compiled)
    shutil.copy2(stub, root / "python")
    _move_environment_folder(root / "python" / "libtriton_python.so")
    for name in OWN_BACKENDS:
        shutil.copytree(_OWN_BACKENDS / name, root / name, ignore=compiled)
    return root


def _move_environment_folder(library: Path) -> None:
    """Replace the path; a library that does not have it exactly once is left as it is."""
    content = library.read_bytes()
    if content.count(_ENVIRONMENT_FOLDER) == 1:
        library.write_bytes(content.replace(_ENVIRONMENT_FOLDER, _ENVIRONMENT_FOLDER_HERE))


def _wheel_folder(name: str) -> Path:
    try:
        distribution = importlib.metadata.distribution("nvidia-pytriton")
    except importlib.metadata.PackageNotFoundError:
        raise ServerError("nvidia-pytriton is not installed: make serve installs it") from None
    return Path(str(distribution.locate_file(name)))


def _libpython_folder() -> list[str]:
    """The folder of this Python's libpython, unless the loader finds it without being told."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"libpython{version}.so.1.0"
    folder = sysconfig.get_config_var("LIBDIR") or ""
    if (Path(folder) / name).is_file():
        return [str(folder)]
    for system in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib"):
        if (Path(system) / name).is_file():
            return []
    raise ServerError(
        f"{name} is not on this machine, and Triton's Python models need it: apt-get install libpython{version}"
    )


if __name__ == "__main__":
    print(_wheel_backends(_PREPARED.parent))
