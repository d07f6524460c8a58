"""One model that cannot be loaded does not keep the others from being served."""

import shutil

from tests.chaos.faults import DEMO, triton
from tests.e2e.started_server import serve


def models(server) -> list[str]:
    return [model["name"] for model in server.http.get("/models").json()["result"]["models"]]


def test_a_damaged_model_is_named_and_the_others_are_served_also_after_a_restart(
    two_models, tmp_path, free_ports, street
):
    (two_models / "mine_detector/1/model.onnx").write_bytes(b"not an onnx file")
    with serve(two_models, tmp_path / "serve.log", free_ports(4)) as server:
        banner = server.log.read_text()
        assert f"  served:\n    {DEMO}\n  not served:\n    mine: mine_detector cannot be loaded: " in banner
        assert "WARNING server: mine is not served: mine_detector cannot be loaded: " in banner
        assert models(server) == [DEMO]
        assert server.post(street, model="mine").status_code == 422
        triton(server).kill()
        server.wait_for(lambda: server.post(street).status_code == 200, "an answer")
        assert models(server) == [DEMO]


def test_a_model_whose_files_vanish_is_left_out_of_the_next_start(two_models, tmp_path, free_ports, street):
    with serve(two_models, tmp_path / "serve.log", free_ports(4)) as server:
        assert sorted(models(server)) == [DEMO, "mine"]
        shutil.rmtree(two_models / "mine_detector")
        assert server.post(street, model="mine").status_code == 200, "it is in memory"
        triton(server).kill()
        server.wait_for(lambda: server.post(street).status_code == 200, "an answer")
        assert models(server) == [DEMO]
        assert "mine is not served: its stage mine_detector is not in the repository" in server.log.read_text()


def test_a_stage_that_dies_while_it_is_loaded_twice_does_not_stop_the_others(two_models, tmp_path, free_ports, street):
    """As the kernel ends what needs more memory than there is."""
    backend = two_models / "mine_detector/1/model.py"
    backend.write_text(
        "import os, signal\n"
        "class TritonPythonModel:\n"
        "    def initialize(self, args):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for config in (two_models / "mine_detector").rglob("*.pbtxt"):
        config.write_text(
            config.read_text().replace('backend: "openvino"', 'backend: "python"').replace("model.onnx", "model.py")
        )
    with serve(two_models, tmp_path / "serve.log", free_ports(4)) as server:
        assert "mine: the process of mine_detector died twice while it was loaded" in server.log.read_text()
        assert models(server) == [DEMO]
        assert server.post(street).status_code == 200
