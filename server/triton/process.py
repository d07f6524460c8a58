"""The `tritonserver` process: which models it loads at each start, and which of them are ready."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from server.errors import ServerError
from server.installation import Installation
from server.process.leftovers import Claim
from server.process.managed_process import ManagedProcess
from server.process.output import Output
from server.process.procfs import command_line
from server.repository import Ensemble, find_ensembles, stage_configs
from server.triton.api import ModelState, TritonApi, TritonApiError
from server.triton.command import TritonOptions, command
from server.triton.ensembles import EnsembleLoader
from server.triton.shared_memory import plan, python_backends

# Messages of the CUDA build on a machine without a GPU and of Paddle with oneDNN, at each start.
_NOISE = re.compile(
    rb"CUDA driver version is insufficient|CudaDriverHelper|pinned system memory|initialize NVML|DCGM unable"
    rb"|CheckIfOneDNNSupport"
    # Two lines a batch while the receiver of traces is away; the gateway logs that once.
    rb"|\[OTLP HTTP Client\]"
)
_INFORMATION = re.compile(rb"I\d{4} \d\d:|[+|]|\s*$")  # and the tables that follow it
_LOADING = re.compile(rb"\"loading: ([^\"]+):\d+\"")
_LOADED = re.compile(rb"\"(?:successfully loaded|failed to load) '([^']+)'")
_LONGEST_REASON = 300
_UNLOADED = "unloaded"  # Triton's reason where somebody asked for it
_MOST_CRASHES = 2
_WHERE = re.compile(r"Exception from \S+:\d+:|Internal: ")


@dataclass(frozen=True, slots=True)
class Served:
    """What a started Triton serves.

    Attributes:
        ready: names of the ensembles that are ready.
        failed: name → reason of the ensembles that were asked for and are not.
    """

    ready: tuple[str, ...]
    failed: dict[str, str]


class TritonProcess(ManagedProcess):
    """The server as a child process.

    Started again, it loads what was loaded when it last worked, with the models that were loaded while it ran and
    without those that were unloaded; and it tries again those that failed. If it never works with these, the next
    start is with those of the options.

    Args:
        options: of the launcher.
        installation: where Triton comes from.
        backends: folder of the backends.
        regions: claim on the names of shared-memory regions.
        output: takes its output.
        keep_open: further file descriptors that it inherits.
        folder: its working directory; None is the launcher's.
    """

    def __init__(  # noqa: PLR0913 — by name
        self,
        options: TritonOptions,
        installation: Installation,
        backends: Path,
        *,
        regions: Claim,
        output: Output,
        keep_open: tuple[int, ...] = (),
        folder: Path | None = None,
    ) -> None:
        super().__init__(
            "Triton",
            (),
            installation.environ,
            output,
            source="triton",
            limit_repeats=not options.verbose,
            keep_open=(regions.descriptor, *keep_open),
            folder=folder,
        )
        self.api = TritonApi(options.ports.http)
        self._options = options
        self._installation = installation
        self._backends = backends
        self._regions = regions
        self._last_loaded: tuple[str, ...] = ()
        self._last_failed: tuple[str, ...] = ()
        self._missing: dict[str, str] = {}
        self._asked_for: tuple[str, ...] = ()
        self._ensembles: dict[str, Ensemble] = {}
        self._loading: dict[str, float] = {}
        self._crashed: dict[str, int] = {}
        self._loader: EnsembleLoader | None = None

    def start(self) -> None:
        """As `ManagedProcess.start`.

        Raises:
            ServerError: there is nothing to load any more, or no room for shared memory.
        """
        names = tuple(dict.fromkeys((*self._last_loaded, *self._last_failed))) or self._options.models
        self._last_loaded = self._last_failed = ()
        found = find_ensembles(self._options.repository, self._options.profile, self._installation.backends)
        self._ensembles = {ensemble.name: ensemble for ensemble in found}
        self._missing = {name: problem for name in names if (problem := self._problem(name))}
        models = tuple(name for name in names if name not in self._missing)
        self._asked_for = tuple(name for name in models if name in self._ensembles)
        if not self._asked_for:
            raise ServerError(_none(self._missing))
        ensembles = [self._ensembles[name] for name in self._asked_for]
        later = {*self._asked_for, *(ensemble.pixel_entrance for ensemble in ensembles)}
        stages = [stage for ensemble in ensembles for stage in ensemble.stages]
        models = tuple(name for name in dict.fromkeys((*stages, *models)) if name not in later)
        shared = plan(
            stage_configs(self._options.repository, ensembles, self._options.profile),
            python_backends(own=self._installation.own_backends),
        )
        if shared.problem:
            raise ServerError(shared.problem)
        if shared.note:
            self._output.log("WARNING", shared.note)
        self._loading = {}
        self._loader = EnsembleLoader(self.api, self._options.repository, self._options.profile, ensembles)
        self._command = command(
            self._options,
            binary=self._installation.binary,
            backends=self._backends,
            models=models,
            shm_prefix=self._regions.prefix,
            region_bytes=shared.region_bytes,
        )
        super().start()

    def is_live(self, timeout_s: float) -> bool:
        """Whether it answers; it does so from the moment its models are loaded, or have failed to load."""
        loader = self._loader
        if loader is None or not self.api.is_live(timeout_s):
            return False
        try:
            loader.load()
        except TritonApiError:
            return False
        return True

    def shows(self, line: bytes) -> bool:
        """Note what is being loaded; show warnings, errors and what the models print."""
        if found := _LOADING.search(line):
            self._loading[found[1].decode(errors="replace")] = time.monotonic()
        elif found := _LOADED.search(line):
            self._loading.pop(found[1].decode(errors="replace"), None)
        if self._options.verbose:
            return True
        return not (_NOISE.search(line) or _INFORMATION.match(line))

    def loading(self) -> list[str]:
        """Names of the models that are being loaded, the one that takes longest first."""
        return [name for name, _ in sorted(dict(self._loading).items(), key=lambda item: item[1])]

    def note_ready(self, states: list[ModelState]) -> None:
        """Remember what is loaded, for the next start; `states` were read after an inference had passed."""
        self._last_loaded = tuple(sorted(state.name for state in states if state.ready))
        self._last_failed = tuple(self.served(states).failed)
        self._crashed.clear()

    def served(self, states: list[ModelState]) -> Served:
        """Which of the ensembles that were asked for are ready, and why the others are not."""
        by_name = {state.name: state for state in states}
        failed = dict(self._missing)
        ready = []
        for name in self._asked_for:
            state = by_name.get(name)
            if state is not None and state.ready:
                ready.append(name)
            elif state is None or state.reason != _UNLOADED:
                failed[name] = self._reason(name, by_name)
        return Served(tuple(ready), failed)

    def stage_of(self, pid: int) -> str:
        """The model that a stub process runs, by its command line; empty if it is not a stub."""
        words = command_line(pid)
        if not words or not words[0].endswith("triton_python_backend_stub"):
            return ""
        root = f"{self._options.repository}/"
        model = next((word for word in words[1:] if word.startswith(root)), "")
        return model.removeprefix(root).partition("/")[0]

    def note_crash(self, stage: str) -> None:
        """Note that a stage's process died while it was loaded; after the second time it is left out."""
        self._crashed[stage] = self._crashed.get(stage, 0) + 1

    def _reason(self, name: str, states: dict[str, ModelState]) -> str:
        """Why an ensemble is not ready: the reason of its first stage that failed, or its own."""
        for stage in self._ensembles[name].stages:
            state = states.get(stage)
            if state is not None and not state.ready and state.reason:
                return f"{stage} cannot be loaded: {_short(state.reason)}"
        state = states.get(name)
        return _short(state.reason) if state is not None and state.reason else "Triton gives no reason"

    def _problem(self, name: str) -> str:
        """Why a model cannot be loaded, as far as its files tell."""
        if name in self._ensembles:
            ensemble = self._ensembles[name]
            stage = next((s for s in ensemble.stages if self._crashed.get(s, 0) >= _MOST_CRASHES), "")
            return ensemble.missing or (f"the process of {stage} died twice while it was loaded" if stage else "")
        if self._crashed.get(name, 0) >= _MOST_CRASHES:
            return "its process died twice while it was loaded"
        if not (self._options.repository / name / "config.pbtxt").is_file():
            return f"{self._options.repository / name}/config.pbtxt is absent"
        return ""

    def kill(self) -> None:
        """As `ManagedProcess.kill`; what it has left in shared memory is removed."""
        super().kill()
        self._regions.remove_files()


def _none(missing: dict[str, str]) -> str:
    return "no model can be served:" + "".join(f"\n  {name}: {reason}" for name, reason in missing.items())


def _short(reason: str) -> str:
    """Triton's reason on one line, without tracebacks and places in source files."""
    text = " ".join(_WHERE.sub("", reason.partition("\nAt:")[0]).split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
