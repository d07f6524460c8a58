"""The limit: the detector alone, no server around it, in a process of its own."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.performance.baselines.detector_config import DetectorConfig
from benchmarks.performance.baselines.engines import Engine, Outputs, load
from benchmarks.performance.errors import BenchmarkError
from benchmarks.servers import Host

_MIB = 2**20
_STOP_TIMEOUT_S = 20.0


class EngineProcess:
    """A child process with the network loaded; `started` makes one.

    Attributes:
        host: the child, to be paused.
        memory_mib: resident, of the network as configured after one image, the interpreter included.
    """

    def __init__(self, host: Host, line: "Connection[Any, Any]") -> None:
        self.host = host
        self._line = line
        self.memory_mib = float(self._receive())

    def infer(self) -> Outputs:
        """The outputs of the image, each [1, …]."""
        outputs: Outputs = self._call("infer", 0.0)
        return outputs

    def throughput(self, seconds: float, setting: str = "configured") -> float:
        """Images a second; settings as in `engines.load`."""
        images, spent = self._call(setting, seconds)
        return float(images / spent)

    def latency_ms(self, seconds: float) -> NDArray[np.float64]:
        """One image at a time on all cores: float64 [images]."""
        return np.array(self._call("one by one", seconds))

    def _call(self, what: str, seconds: float) -> Any:
        self._line.send((what, seconds))
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self._line.recv()
        except EOFError:
            raise BenchmarkError(f"{self.host.name} ended") from None
        if isinstance(answer, Exception):
            raise BenchmarkError(f"{self.host.name}: {answer}")
        return answer


@contextmanager
def started(config: DetectorConfig, pixels: NDArray[np.uint8]) -> Iterator[EngineProcess]:
    """The detector in a child process, loaded; ended at exit.

    Raises:
        BenchmarkError: it cannot be loaded.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, config, pixels), daemon=True)
    child.start()
    theirs.close()
    host = Host(f"engine of {config.name} ({config.backend}, {config.precision})", child.pid or 0)
    try:
        yield EngineProcess(host, ours)
    finally:
        host.resume()
        with suppress(OSError):
            ours.send(None)
        child.join(_STOP_TIMEOUT_S)
        if child.is_alive():
            child.kill()
            child.join()


def _serve(line: "Connection[Any, Any]", config: DetectorConfig, pixels: NDArray[np.uint8]) -> None:
    """The child: answers until it is told None, or nobody is there."""
    # Stdout is the report's, and Paddle prints there.
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    with suppress(KeyboardInterrupt, EOFError, OSError):
        try:
            engines = {"configured": load(config, pixels, "configured")}
            engines["configured"].infer()
            line.send(psutil.Process(os.getpid()).memory_info().rss / _MIB)
        except Exception as error:
            line.send(RuntimeError(f"{type(error).__name__}: {error}"))
            return
        while (asked := line.recv()) is not None:
            try:
                line.send(_answer(engines, config, pixels, *asked))
            except Exception as error:
                line.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _answer(
    engines: dict[str, Engine], config: DetectorConfig, pixels: NDArray[np.uint8], what: str, seconds: float
) -> Any:
    if what == "infer":
        return engines["configured"].infer()
    setting = "latency" if what == "one by one" else what
    if setting not in engines:
        engines[setting] = load(config, pixels, setting)
        engines[setting].infer()
    engine = engines[setting]
    if what != "one by one":
        return engine.run(seconds)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        engine.infer()
        times.append(1e3 * (time.perf_counter() - begun))
    return times
