"""A pipeline in several processes: forked children, pickles, and calls that were begun before a fork."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sod_client import AsyncPipeline, ConnectionFailedError, Pipeline, Result, create_pipeline

from tests.clients.conftest import BOXES, FakeServer, jpeg

ROOT = Path(__file__).parents[3]
CHILD = """
import os, pathlib, signal, sys
from sod_client import ConnectionFailedError, create_pipeline
pipeline = create_pipeline(url=sys.argv[1])
image = pathlib.Path(sys.argv[2]).read_bytes()
begun = pipeline.predict([image] * 20)
next(begun)
child = os.fork()
if not child:
    signal.alarm(20)
    assert len(list(pipeline.predict([image] * 3))) == 3
    try:
        next(begun)
    except ConnectionFailedError as error:
        assert "began in the process from which this one was forked" in str(error)
    else:
        sys.exit("no error")
    grandchild = os.fork()
    if not grandchild:
        assert len(list(pipeline.predict(image))) == 1
    elif os.waitpid(grandchild, 0)[1]:
        sys.exit("the grandchild failed")
    sys.exit()
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert len(list(begun)) == 19
assert len(list(pipeline.predict(image))) == 1
sys.exit(code)
"""


def test_a_forked_child_predicts_and_its_parent_goes_on(server: FakeServer, street: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, server.url, str(street)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipeline_stays_closed_in_a_child(server: FakeServer) -> None:
    pipeline = create_pipeline(url=server.url)
    pipeline.close()
    pipeline._session.renew()
    with pytest.raises(ConnectionFailedError, match="closed"):
        next(pipeline.predict(jpeg()))


def test_grpc_in_a_forked_child_is_an_error(nowhere: str) -> None:
    pytest.importorskip("tritonclient")
    with create_pipeline(url=nowhere.replace("http", "grpc")) as pipeline:
        pipeline._session.renew()
        with pytest.raises(ConnectionFailedError, match="start method 'spawn' or 'forkserver', or an http:// or"):
            next(pipeline.predict(jpeg()))


def detect(pipeline: Pipeline, image: bytes) -> list[Result]:
    return list(pipeline.predict([image, image]))


def test_a_pipeline_goes_to_other_processes(server: FakeServer) -> None:
    with (
        create_pipeline(url=server.url, model="mine") as pipeline,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        found = pool.submit(detect, pipeline, jpeg()).result(timeout=60)
    assert [result.boxes for result in found] == [BOXES, BOXES]
    assert found[0].img["res"].size == (64, 48)
    assert [body["model"] for _, body in server.requests] == ["mine", "mine"]


def test_a_pickle_keeps_the_settings(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOD_API_KEY", "from the environment")
    module = {"model_name": "mine", "threshold": {0: 0.25}}
    config: Any = {"pipeline_name": "small_object_detection", "SubModules": {"SmallObjectDetection": module}}
    for kind in (Pipeline, AsyncPipeline):
        pipeline = kind(config=config, url=server.url, timeout=7, retries=1, max_in_flight=2)
        pickled = pickle.dumps(pipeline)
        assert b"from the environment" not in pickled
        again = pickle.loads(pickled)
        assert type(again) is kind
        for name in ("url", "model", "threshold", "device", "use_hpip"):
            assert getattr(again, name) == getattr(pipeline, name)
        assert again._session.arguments() == pipeline._session.arguments()


def test_a_child_of_a_busy_process_does_not_wait_for_its_locks(server: FakeServer) -> None:
    """The fork happens while another thread holds the session's lock."""
    with create_pipeline(url=server.url) as pipeline:
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with pipeline._session._lock:
                held.set()
                done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(30)
        pipeline._session.renew()  # what the child does
        assert len(list(pipeline.predict(jpeg()))) == 1
        done.set()
        thread.join()
