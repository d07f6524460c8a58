"""The detector's inference engine alone, without a server, in a process of its own: the limit of any server's speed."""

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
from benchmarks.servers import ProcessTree

_MIB = 2**20
_STOP_TIMEOUT_S = 20.0
_MIN_LATENCIES = 3
# Commands to the child process; others are settings of `engines.load`, for which it measures the throughput.
_INFER, _LATENCIES = "infer", "latencies"


class EngineProcess:
    """A child process in which the network is loaded; `started` creates it.

    Attributes:
        processes: the child process, which can be paused.
        memory_mib: its resident memory in MiB after one inference, including the Python interpreter.
    """

    def __init__(self, processes: ProcessTree, connection: "Connection[Any, Any]") -> None:
        self.processes = processes
        self._connection = connection
        self.memory_mib = float(self._receive())

    def infer(self) -> Outputs:
        """The outputs for the image, each [1, …]."""
        outputs: Outputs = self._call(_INFER, 0.0)
        return outputs

    def throughput(self, seconds: float, setting: str = "configured") -> float:
        """Images a second; see `engines.load` for the settings."""
        images, duration = self._call(setting, seconds)
        return float(images / duration)

    def latency_ms(self, seconds: float) -> NDArray[np.float64]:
        """Latency of one image at a time on all cores, in milliseconds: float64 [images]."""
        return np.array(self._call(_LATENCIES, seconds))

    def _call(self, command: str, seconds: float) -> Any:
        self._connection.send((command, seconds))
        return self._receive()

    def _receive(self) -> Any:
        try:
            reply = self._connection.recv()
        except EOFError:
            raise BenchmarkError(f"{self.processes.name}: the process ended") from None
        if isinstance(reply, Exception):
            raise BenchmarkError(f"{self.processes.name}: {reply}")
        return reply


@contextmanager
def started(config: DetectorConfig, pixels: NDArray[np.uint8]) -> Iterator[EngineProcess]:
    """Load the detector in a child process, which is ended at exit.

    Args:
        config: the detector and its configuration.
        pixels: uint8 RGB [H, W, 3], the image that it infers.

    Raises:
        BenchmarkError: the network cannot be loaded.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, config, pixels), daemon=True)
    child.start()
    theirs.close()
    processes = ProcessTree(f"engine of {config.name} ({config.backend}, {config.precision})", child.pid or 0)
    try:
        yield EngineProcess(processes, ours)
    finally:
        processes.resume()
        with suppress(OSError):
            ours.send(None)
        child.join(_STOP_TIMEOUT_S)
        if child.is_alive():
            child.kill()
            child.join()


def _serve(connection: "Connection[Any, Any]", config: DetectorConfig, pixels: NDArray[np.uint8]) -> None:
    """Main function of the child process: carries out commands until it receives None or its parent has ended."""
    # Stdout belongs to the report, and Paddle prints to it.
    with Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), 1)
    with suppress(KeyboardInterrupt, EOFError, OSError):
        try:
            engines = {"configured": load(config, pixels, "configured")}
            engines["configured"].infer()
            connection.send(psutil.Process(os.getpid()).memory_info().rss / _MIB)
        except Exception as error:
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
            return
        while (command := connection.recv()) is not None:
            try:
                connection.send(_execute(engines, config, pixels, *command))
            except Exception as error:
                connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _execute(
    engines: dict[str, Engine], config: DetectorConfig, pixels: NDArray[np.uint8], command: str, seconds: float
) -> Any:
    if command == _INFER:
        return engines["configured"].infer()
    setting = "latency" if command == _LATENCIES else command
    if setting not in engines:
        engines[setting] = load(config, pixels, setting)
        engines[setting].infer()
    engine = engines[setting]
    return _latencies_ms(engine, seconds) if command == _LATENCIES else engine.run(seconds)


def _latencies_ms(engine: Engine, seconds: float) -> list[float]:
    latencies: list[float] = []
    started_at = time.perf_counter()
    while len(latencies) < _MIN_LATENCIES or time.perf_counter() - started_at < seconds:
        begin = time.perf_counter()
        engine.infer()
        latencies.append(1e3 * (time.perf_counter() - begin))
    return latencies
