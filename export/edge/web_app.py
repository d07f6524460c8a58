"""The web app beside an edge model: static files of `app/static`, and ONNX Runtime Web, which npm installs once."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from export.triton.install import install_files

_APP = Path(__file__).absolute().parent / "app"
_PACKAGE_FILES = ("package.json", "package-lock.json")
NPM_FOLDER = Path(__file__).absolute().parents[2] / ".cache" / "edge"
NPM_TIMEOUT_S = 600
# ONNX Runtime Web for the CPU, which every device caches, and for WebGPU, which only those with a GPU load.
CPU_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
GPU_FILES = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
_LIST = "files.js"
_NOT_CACHED = frozenset({"sw.js", "model.ort", *GPU_FILES})


@dataclass(frozen=True, slots=True)
class WebApp:
    """The files of the app, without a model.

    Attributes:
        files: name → file.
    """

    files: dict[str, Path]

    def install(self, model: dict[str, Path], folder: Path) -> list[Path]:
        """Write the app and a model to one folder, see `install_files`.

        The service worker caches the files that `files.js` lists, and installs itself anew when its version changes,
        which is a digest of all files.

        Raises:
            ExportError: the folder cannot be written to.
        """
        files = self.files | model
        digest = hashlib.sha256()
        for name, path in sorted(files.items()):
            digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
        content = {
            "version": digest.hexdigest()[:16],
            "files": [_LIST, *sorted(name for name in files if name not in _NOT_CACHED)],
            "webgpu": list(GPU_FILES),
        }
        with tempfile.TemporaryDirectory(prefix="triton-sod-app-") as work:
            listing = Path(work) / _LIST
            listing.write_text(f"self.EDGE = {json.dumps(content, indent=1)};\n", encoding="utf-8")
            return install_files({**files, _LIST: listing}, folder)


def find_web_app(npm_folder: Path = NPM_FOLDER) -> WebApp | str:
    """The app with ONNX Runtime Web, which is installed into `npm_folder` if its lock file has changed.

    Returns:
        The app, or a sentence that says why there is none.
    """
    problem = _install_runtime(npm_folder)
    if problem:
        return problem
    runtime = npm_folder / "node_modules" / "onnxruntime-web" / "dist"
    files = {path.name: path for path in sorted((_APP / "static").iterdir()) if path.is_file()}
    return WebApp(files | {name: runtime / name for name in (*CPU_FILES, *GPU_FILES)})


def _install_runtime(folder: Path) -> str:
    """Run `npm ci` unless what the lock file pins is installed; return why it failed, or an empty text."""
    stamp = folder / "installed-lock.json"
    lock = (_APP / "package-lock.json").read_bytes()
    if stamp.is_file() and stamp.read_bytes() == lock:
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is missing, which installs ONNX Runtime Web: apt-get install npm"
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PACKAGE_FILES:
        shutil.copyfile(_APP / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=NPM_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"npm did not install ONNX Runtime Web within {NPM_TIMEOUT_S} s"
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return f"npm cannot install ONNX Runtime Web: {lines[0] if lines else f'exit status {done.returncode}'}"
    stamp.write_bytes(lock)
    return ""
