"""`sod doctor`: what this machine has and lacks for serving, and what to do about it. It changes and starts nothing."""

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from server.cli import REPOSITORY, default_profile, port
from server.cpu import AMX, cpu_flags
from server.devices import KINDS, PROFILES, Device
from server.errors import ServerError
from server.installation import Installation, find_installation, release_problem
from server.ports import port_problem
from server.process.leftovers import live_claims
from server.process.work_folder import work_folder
from server.repository import find_ensembles, stage_configs
from server.triton.shared_memory import SHARED_MEMORY, plan, python_backends

Level = Literal["ok", "note", "problem"]
_MARKS: dict[Level, str] = {"ok": "ok", "note": "--", "problem": "!!"}
_GIB = 1024**3
_MIB = 1024**2
_MEMORY_BYTES = 2 * _GIB
_DISK_BYTES = 2 * _GIB
_PYTHONS = ((3, 11), (3, 12))
_VNNI = {"avx512_vnni", "avx_vnni"}

# Distribution → what it is for, and the command that installs it. The default profile needs those of _NEEDED.
_DISTRIBUTIONS = {
    "tritonclient": ("the gateway", "make serve"),
    "openvino": ("cpu_high_performance, cpu_bf16, cpu_int8", "make serve"),
    "onnxruntime": ("the demo in cpu_regular", "make serve"),
    "paddlepaddle": ("official models in cpu_regular, and export", "make serve PROFILE=cpu_regular"),
    "onnxruntime-gpu": ("gpu_regular", f"{sys.executable} -m pip install onnxruntime-gpu"),
    "paddle2onnx": ("sod export", "make export"),
}
_NEEDED = ("tritonclient", "openvino")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        level: `problem` keeps the server from starting; `note` limits what it can do.
        subject: the thing that was checked.
        detail: what was found.
        remedy: what to do; empty if there is nothing to do.
    """

    level: Level
    subject: str
    detail: str
    remedy: str = ""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m server.doctor") -> int:
    """Print the report; 0 if the server can start or already runs, 1 if something keeps it from starting."""
    options = _parser(prog).parse_args(arguments)
    findings = list(examine(options.model_repository.absolute(), options.profile, options.ports))
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return int(any(finding.level == "problem" for finding in findings))


def examine(repository: Path, profile: str | None, ports: Sequence[int]) -> Iterator[Finding]:
    """Check everything that serving needs.

    Args:
        repository: folder of model folders.
        profile: one of `PROFILES`; None is the one that `sod serve` would choose.
        ports: must be free on loopback, or in use by a server of ours.
    """
    running = live_claims(SHARED_MEMORY)
    yield _python()
    installation, finding = _triton()
    yield finding
    yield from _machine()
    yield _gpu()
    yield from _devices()
    yield from _distributions()
    yield from _running(running)
    yield from (_port(port, running) for port in ports)
    if installation is not None:
        yield _temporary_files(installation)
        chosen = profile or default_profile(installation)
        yield Finding("ok", "profile", chosen + ("" if profile else " (the default here)"))
        yield from _models(repository, chosen, installation)
        yield _shared_memory(repository, chosen, installation, running)


def _python() -> Finding:
    version = sys.version_info
    shown = f"{version.major}.{version.minor}.{version.micro}"
    if version[:2] in _PYTHONS:
        return Finding("ok", "Python", shown)
    return Finding("problem", "Python", shown, "use 3.11 or 3.12: make serve PYTHON=python3.11")


def _triton() -> tuple[Installation | None, Finding]:
    try:
        installation = find_installation()
    except ServerError as error:
        return None, Finding("problem", "Triton", "cannot be started", str(error))
    release = f" {installation.release}" if installation.release else ""
    detail = f"{installation.name}{release}; backends {', '.join(installation.backends)}"
    if problem := release_problem(installation.release):
        return installation, Finding("note", "Triton", detail, f"{problem}: let no stranger reach its ports")
    return installation, Finding("ok", "Triton", detail)


def _machine() -> Iterator[Finding]:
    flags = cpu_flags()
    wanted = ("avx2", "avx512_vnni", "avx_vnni", "avx512_bf16", AMX)
    having = ", ".join(flag for flag in wanted if flag in flags) or "none of avx2, vnni, bf16"
    detail = f"{len(os.sched_getaffinity(0))} cores; {having}"
    if "avx2" in flags:
        yield Finding("ok", "CPU", detail)
    else:
        yield Finding("note", "CPU", detail, "without AVX2 an image takes several times as long")
    yield _bf16(flags)
    yield _int8(flags)
    yield _room("memory", _available_memory(), _MEMORY_BYTES, "stop something, or serve fewer models: --model NAME")
    yield _room("disk", shutil.disk_usage(Path.cwd()).free, _DISK_BYTES, "free some: the wheels take 1.5 GB")


def _bf16(flags: set[str]) -> Finding:
    """What the profile cpu_bf16 gains, as docs/performance.md measured it."""
    if AMX in flags:
        gain = "the profile cpu_bf16 was measured 2.9 times as fast as FP32"
        return Finding("note", "BF16", "this CPU has AMX", gain)
    if "avx512_bf16" in flags:
        gain = "the profile cpu_bf16 may be twice as fast as FP32 here, or slower: sod bench tells"
        return Finding("note", "BF16", "this CPU has AVX512-BF16", gain)
    return Finding("note", "BF16", "this CPU has no BF16 instructions", "the profile cpu_bf16 gains nothing here")


def _int8(flags: set[str]) -> Finding:
    """What the profile cpu_int8 gains, as docs/performance.md measured it."""
    if not _VNNI & flags:
        return Finding("note", "INT8", "this CPU has no VNNI", "the profile cpu_int8 is not meant for it")
    if AMX in flags:
        return Finding("note", "INT8", "this CPU has VNNI and AMX", "the profile cpu_int8 gains nothing over cpu_bf16")
    gain = "the profile cpu_int8 was measured 1.9 to 2.9 times as fast as FP32: make export TARGET=openvino IMAGES=…"
    return Finding("note", "INT8", "this CPU has VNNI", gain)


def _room(subject: str, free: int, wanted: int, remedy: str) -> Finding:
    detail = f"{free / _GIB:.1f} GiB free"
    if free >= wanted:
        return Finding("ok", subject, detail)
    return Finding("note", subject, f"{detail}; {wanted / _GIB:.1f} GiB is comfortable", remedy)


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _gpu() -> Finding:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return Finding("note", "GPU", "none that nvidia-smi knows of", "the profiles cpu_* run; gpu_* need one")
    return Finding("ok", "GPU", "; ".join(answer.stdout.split("\n")).strip("; "))


def _devices() -> Iterator[Finding]:
    """Every device of `--device` but the CPU and NVIDIA's GPU, which have lines of their own."""
    for kind in KINDS.values():
        if kind.name in ("cpu", "gpu"):
            continue
        device = Device(kind)
        problem, found = device.problem(), device.found() or "nothing"
        subject = f"device {kind.name}"
        yield Finding("note" if problem else "ok", subject, f"{kind.maker}: found {found}", problem)


def _distributions() -> Iterator[Finding]:
    for name, (use, command) in _DISTRIBUTIONS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            level: Level = "problem" if name in _NEEDED else "note"
            yield Finding(level, name, f"not installed; for {use}", command)
        else:
            yield Finding("ok", name, f"{version}; for {use}")


def _temporary_files(installation: Installation) -> Finding:
    try:
        with work_folder(programs=installation.makes_programs) as (folder, _):
            return Finding("ok", "temporary files", f"in {folder.parent}")
    except ServerError as error:
        return Finding("problem", "temporary files", "have no place", str(error))


def _running(running: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    for server in running:
        yield Finding("note", "running", f"triton-sod at {server.get('url')} (process {server.get('pid')})")


def _port(port: int, running: Sequence[dict[str, Any]]) -> Finding:
    problem = port_problem("127.0.0.1", port)
    if problem is None:
        return Finding("ok", f"port {port}", "free")
    for server in running:
        if port in server.get("ports", ()):
            return Finding("note", f"port {port}", f"in use by the triton-sod that runs (process {server.get('pid')})")
    return Finding("problem", f"port {port}", problem.text, "stop what listens there, or choose another: --port")


def _shared_memory(
    repository: Path, profile: str, installation: Installation, running: Sequence[dict[str, Any]]
) -> Finding:
    """Whether the models that can be served fit into /dev/shm."""
    name = str(SHARED_MEMORY)
    try:
        ensembles = [e for e in find_ensembles(repository, profile, installation.backends) if not e.missing]
        shared = plan(stage_configs(repository, ensembles, profile), python_backends(own=installation.own_backends))
    except ServerError as error:
        return Finding("problem", name, "cannot be used", str(error))
    detail = f"{shared.free / _MIB:.0f} MiB free, {shared.regions} stages need {shared.least / _MIB:.0f} MiB or more"
    if shared.problem:
        return Finding("note" if running else "problem", name, detail, shared.problem)
    return Finding("note" if shared.note else "ok", name, detail, shared.note)


def _models(repository: Path, profile: str, installation: Installation) -> Iterator[Finding]:
    try:
        ensembles = find_ensembles(repository, profile, installation.backends)
    except ServerError as error:
        yield Finding("problem", "model repository", str(repository), str(error))
        return
    for ensemble in ensembles:
        if ensemble.missing:
            yield Finding("note", ensemble.name, "cannot be served", ensemble.missing)
        else:
            yield Finding("ok", ensemble.name, "can be served")
    if all(ensemble.missing for ensemble in ensembles):
        yield Finding("problem", "models", f"none can be served in {profile}", "see above")


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{_MARKS[finding.level]}  {finding.subject:<{width}}  {finding.detail}")
        if finding.remedy:
            print(f"    {'':<{width}}  → {finding.remedy}")
    problems = sum(finding.level == "problem" for finding in findings)
    print()
    if problems:
        print(f"{problems} problem{'s' if problems > 1 else ''} to mend first")
    elif any(finding.subject.startswith("port ") and finding.level == "note" for finding in findings):
        print("the server already runs")
    else:
        print("the server can start")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Check this machine, its wheels, ports, GPU and model files, and say what to do. "
        "Exit code 0 if the server can start or already runs, 1 if something keeps it from starting.",
    )
    parser.add_argument("--profile", choices=PROFILES, help="check the models for this one (default: the machine's)")
    parser.add_argument(
        "--model-repository", type=Path, default=REPOSITORY, help="folder of model folders (default: %(default)s)"
    )
    parser.add_argument(
        "--ports",
        type=port,
        nargs="+",
        default=[8080, 8000, 8001, 8002],
        help="ports that must be free on loopback (default: 8080 8000 8001 8002)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list of findings")
    return parser


if __name__ == "__main__":
    sys.exit(main())
