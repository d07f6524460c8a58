"""Threads for work that cannot be interrupted: a thread that is stuck is abandoned and replaced.

A decoder cannot be stopped from outside its thread. `concurrent.futures.ThreadPoolExecutor` waits for a stuck thread
for ever, at shutdown as well. This executor answers the caller when the time limit is over, starts another thread in
the stuck one's place, up to a bound, and ends with the process whatever still runs.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from sod.errors import TaskTimeoutError, ThreadsExhaustedError

DEFAULT_TASK_TIMEOUT_S = 30.0  # for decoding, drawing or encoding one image

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Task:
    """A call that waits or runs."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.future: Future[Any] = Future()
        self.deadline = 0.0


class ReplacingThreadPool(Executor):
    """An executor of daemon threads, each call bounded in time.

    Args:
        threads: calls that run at a time.
        time_limit_s: seconds that one call may run; then its future raises `TaskTimeoutError`, and its thread is
            abandoned: it ends when its call returns.
        max_abandoned: abandoned threads that may run beside the others; once there are so many, a further stuck thread
            is not replaced.
        name: of the threads.
    """

    def __init__(self, threads: int, *, time_limit_s: float, max_abandoned: int | None = None, name: str = "") -> None:
        self._threads = threads
        self._time_limit_s = time_limit_s
        self._max_abandoned = threads if max_abandoned is None else max_abandoned
        self._name = name
        self._waiting: deque[_Task] = deque()
        self._running: dict[threading.Thread, _Task] = {}
        self._abandoned: set[threading.Thread] = set()
        self._alive: set[threading.Thread] = set()
        # Two signals, because a thread that is woken for nothing takes the interpreter from those that work.
        self._lock = threading.Lock()
        self._task_waits = threading.Condition(self._lock)
        self._changed = threading.Condition(self._lock)
        self._closed = False
        self._watcher: threading.Thread | None = None

    @property
    def exhausted(self) -> bool:
        """Whether every thread is stuck and none may be replaced: nothing can run until one of their calls returns."""
        with self._lock:
            return self._is_exhausted()

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Run a call in a thread, as soon as one is free.

        Raises:
            ThreadsExhaustedError: every thread is stuck.
            RuntimeError: the pool is shut down.
        """
        task = _Task(lambda: fn(*args, **kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("the thread pool is shut down")
            if self._is_exhausted():
                raise ThreadsExhaustedError(f"all {self._threads} threads are stuck in earlier images")
            self._waiting.append(task)
            if len(self._alive) < self._capacity() and len(self._alive) - len(self._running) < len(self._waiting):
                self._start_thread()
            if self._watcher is None and self._time_limit_s < math.inf:
                self._watcher = threading.Thread(target=self._watch, name=f"{self._name}-watcher", daemon=True)
                self._watcher.start()
            self._task_waits.notify()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False, timeout_s: float | None = None) -> None:
        """Take no more calls.

        Args:
            wait: wait for the calls that run or wait, abandoned ones excepted.
            cancel_futures: cancel the calls that wait.
            timeout_s: how long to wait at most, in seconds; None waits until the last call's time limit.
        """
        with self._changed:
            self._closed = True
            if cancel_futures:
                for task in self._waiting:
                    task.future.cancel()
                self._waiting.clear()
            self._task_waits.notify_all()
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: not self._running and not self._waiting, timeout_s)

    def _capacity(self) -> int:
        """Threads that may be alive beside the abandoned ones."""
        return self._threads - max(0, len(self._abandoned) - self._max_abandoned)

    def _is_exhausted(self) -> bool:
        return self._capacity() <= 0

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name or None, daemon=True)
        self._alive.add(thread)
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while (task := self._next(me)) is not None:
            if not task.future.set_running_or_notify_cancel():
                self._finish(me)
                continue
            try:
                result = task.call()
            except BaseException as error:
                self._finish(me, task, error=error)
            else:
                self._finish(me, task, result=result)
            del task
            with self._lock:
                if me in self._abandoned:
                    self._abandoned.discard(me)
                    return

    def _next(self, me: threading.Thread) -> _Task | None:
        with self._lock:
            self._task_waits.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                self._alive.discard(me)
                return None
            task = self._waiting.popleft()
            task.deadline = time.monotonic() + self._time_limit_s
            self._running[me] = task
            return task

    def _finish(
        self, me: threading.Thread, task: _Task | None = None, *, result: Any = None, error: BaseException | None = None
    ) -> None:
        with self._lock:
            kept = self._running.pop(me, None) is not None
            if self._closed:
                self._changed.notify_all()
        if task is None or not kept:  # the caller has had its TaskTimeoutError
            return
        if error is None:
            task.future.set_result(result)
        else:
            task.future.set_exception(error)

    def _watch(self) -> None:
        while True:
            with self._lock:
                if self._closed and not self._running and not self._waiting:
                    return
                now = time.monotonic()
                late = [thread for thread, task in self._running.items() if task.deadline <= now]
                tasks = [self._abandon(thread) for thread in late]
                if not tasks:
                    # A call that begins meanwhile has a later deadline than this.
                    until = min((task.deadline for task in self._running.values()), default=now + self._time_limit_s)
                    self._changed.wait(max(0.001, until - now))
            for task in tasks:
                task.future.set_exception(
                    TaskTimeoutError(f"the image was not processed within {self._time_limit_s:g} s: send a smaller one")
                )

    def _abandon(self, thread: threading.Thread) -> _Task:
        task = self._running.pop(thread)
        self._alive.discard(thread)
        self._abandoned.add(thread)
        if self._waiting and len(self._alive) < self._capacity():
            self._start_thread()
        if self._is_exhausted():
            for waiting in self._waiting:
                if waiting.future.set_running_or_notify_cancel():
                    waiting.future.set_exception(ThreadsExhaustedError(f"all {self._threads} threads are stuck"))
            self._waiting.clear()
        if self._closed:
            self._changed.notify_all()
        return task
