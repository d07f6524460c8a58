"""Wheels in parts under a size limit, with a manifest of hashes, and their installation without a network."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.performance.errors import BenchmarkError

MANIFEST = "manifest.json"


def pack(wheels: Sequence[Path], folder: Path, part_bytes: int) -> list[Path]:
    """Cut wheels into parts.

    Args:
        wheels: files, or folders of files that end with .whl.
        folder: where the parts and `manifest.json` go; it must be empty or absent.
        part_bytes: size of the largest part.

    Returns:
        The files that were written.

    Raises:
        BenchmarkError: there is no wheel, two have one name, or the folder is not empty.
    """
    files = [file for path in wheels for file in (sorted(path.glob("*.whl")) if path.is_dir() else [path])]
    if not files:
        raise BenchmarkError(
            "there is no wheel: name files or folders, for example those of `pip download -d wheels …`"
        )
    if missing := [str(file) for file in files if not file.is_file()]:
        raise BenchmarkError(f"{missing[0]} is not a file")
    if len({file.name for file in files}) != len(files):
        raise BenchmarkError("two wheels have one name")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BenchmarkError(f"{folder} is not empty")
    written: list[Path] = []
    manifest: dict[str, dict[str, object]] = {}
    for file in files:
        parts: list[str] = []
        with file.open("rb") as source:
            while content := source.read(part_bytes):
                part = folder / f"{file.name}.{len(parts):03}"
                part.write_bytes(content)
                parts.append(part.name)
                written.append(part)
        manifest[file.name] = {"sha256": _sha256(file), "parts": parts}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return [*written, folder / MANIFEST]


def unpack(folder: Path, target: Path) -> list[Path]:
    """Join the parts, and check each wheel's hash.

    Args:
        folder: of `pack`.
        target: folder of the wheels; wheels of the same name are replaced.

    Raises:
        BenchmarkError: there is no manifest, a part is missing, or a hash differs.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entries = {str(name): (str(one["sha256"]), list(map(str, one["parts"]))) for name, one in manifest.items()}
    except FileNotFoundError:
        raise BenchmarkError(f"{folder} has no {MANIFEST}: `sod bench gpu-day pack` writes it") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BenchmarkError(f"{folder / MANIFEST} is not as `pack` writes it: {error}") from None
    target.mkdir(parents=True, exist_ok=True)
    wheels = []
    for name, (expected, parts) in entries.items():
        if any("/" in word for word in (name, *parts)):
            raise BenchmarkError(f"{folder / MANIFEST} names a file outside of its folder: {name}")
        for part in parts:
            if not (folder / part).is_file():
                raise BenchmarkError(f"{folder / part} is missing: carry every file of the folder")
        wheel = target / name
        with wheel.open("wb") as joined:
            for part in parts:
                joined.write((folder / part).read_bytes())
        if _sha256(wheel) != expected:
            wheel.unlink()
            raise BenchmarkError(f"{name} differs from what was packed: carry its parts again")
        wheels.append(wheel)
    return wheels


def install(wheels: Sequence[Path]) -> None:
    """Install wheels into this environment, without a network and without their dependencies.

    Raises:
        BenchmarkError: pip fails.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-deps",
        "--force-reinstall",
        *map(str, wheels),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"pip could not install the wheels: {(done.stderr or done.stdout).strip()[-500:]}")


def _sha256(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
