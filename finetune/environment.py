"""The virtual environment in which ppdet runs.

`paddledet` requires versions that would break the other dependencies, so it is installed into an environment of its
own. That environment also sees the packages installed here, so that Paddle (720 MB) is not installed twice.
"""

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from finetune.errors import FinetuneError, run

LOCK = Path(__file__).parents[1] / "requirements/finetune.lock"
_STAMP = "lock.sha256"


def ensure(folder: Path | None = None, lock: Path = LOCK) -> Path:
    """Return the environment's Python; create the environment if it is missing or the lock file has changed.

    Args:
        folder: the environment; by default `finetune/` in the running environment.
        lock: pinned wheels with their hashes.

    Raises:
        FinetuneError: Paddle is not installed here, or a wheel cannot be installed.
    """
    if importlib.util.find_spec("paddle") is None:
        msg = "paddlepaddle is not installed: run `make finetune`, which installs it"
        raise FinetuneError(msg)
    folder = folder or Path(sys.prefix) / "finetune"
    python, stamp = folder / "bin/python", folder / _STAMP
    here = sysconfig.get_path("purelib")
    digest = hashlib.sha256(lock.read_bytes() + here.encode()).hexdigest()
    if python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return python
    print(f"installing {lock.name} into {folder}; later runs reuse it", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    packages = Path(_evaluate(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    # addsitedir appends, so the environment's own packages come first. It also follows .pth files, which editable
    # installations need.
    (packages / "shared.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*install, "--require-hashes", "-r", str(lock)], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()[-300:]]
        msg = f"ppdet's environment cannot be installed: {lines[0]}"
        raise FinetuneError(msg)
    stamp.write_text(digest, encoding="utf-8")
    return python


def _evaluate(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    """Create the environment and print the path of its Python; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.environment",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    return run(lambda: print(ensure()))


if __name__ == "__main__":
    sys.exit(main())
