"""`model_dir` of a pipeline file: that model answers, whichever server is used, or there is an error.

The launcher and the export in these tests are stand-ins; an end-to-end test uses the real ones.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from sod_client import InvalidConfigError, LocalServerError, MissingFileError, SodWarning, create_pipeline
from sod_client._local_server.exported_model import served_name
from sod_client.cli import main

from tests.clients.conftest import SUCCESS, FakeServer

ROOT = Path(__file__).parents[3]
PACKAGE = """
import http.server, json, os, pathlib, signal, sys, threading
HERE = pathlib.Path(__file__).parent
def export(argv, prog):
    with (HERE / "exports").open("a") as log:
        log.write(json.dumps(argv) + "\\n")
    options = dict(zip(argv[::2], argv[1::2], strict=True))
    print("comparing 3 images", file=sys.stderr)
    if "--pipeline" in options:
        with (HERE / "pipelines").open("a") as log:
            log.write("---\\n" + pathlib.Path(options["--pipeline"]).read_text())
    if (HERE / "fails").exists():
        print("export failed: it is not a SOD model", file=sys.stderr)
        return 2
    folder = pathlib.Path(options["--output_dir"]) / options["--name"]
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").touch()
    return 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (HERE / "asked.json").write_text(json.dumps({"model": body.get("model")}))
        reply = (HERE / "reply.json").read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
    def log_message(self, *args):
        pass
def serve(argv, prog):
    (HERE / "served.json").write_text(json.dumps(argv))
    server = http.server.HTTPServer(("127.0.0.1", int(argv[argv.index("--port") + 1])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    return 0
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package that provides stand-ins for `serve` and `export`."""
    folder = tmp_path / "site"
    information = folder / "triton_sod-9.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: triton-sod\nVersion: 9\n")
    (information / "entry_points.txt").write_text("[sod.commands]\nserve = both:serve\nexport = both:export\n")
    (folder / "both.py").write_text(PACKAGE)
    (folder / "reply.json").write_text(json.dumps(SUCCESS))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT / 'clients' / 'python'}")
    monkeypatch.setenv("SOD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(autouse=True)
def tuned(tmp_path: Path) -> Path:
    """A folder with the files of a Paddle inference model."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    for name in ("inference.json", "inference.pdiparams", "inference.yml"):
        (folder / name).write_text(name)
    return folder


def pipeline_file(tmp_path: Path, model_dir: str, name: str | None = "PP-YOLOE_plus_SOD-L") -> Path:
    """The file of the seed's section 4.2."""
    module = {
        "module_name": "small_object_detection",
        "model_name": name,
        "model_dir": model_dir,
        "batch_size": 1,
        "threshold": 0.5,
    }
    path = tmp_path / "small_object_detection.yaml"
    path.write_text(
        yaml.safe_dump({"pipeline_name": "small_object_detection", "SubModules": {"SmallObjectDetection": module}})
    )
    return path


def exports(site: Path) -> list[list[str]]:
    log = site / "exports"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_local_server_exports_the_model_once_and_serves_it(
    site: Path, tuned: Path, tmp_path: Path, street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pipeline_file(tmp_path, "./tuned")
    name = served_name("tuned", "PP-YOLOE_plus_SOD-L")
    assert name.startswith("PP-YOLOE_plus_SOD-L-")
    for _ in range(2):
        with create_pipeline(file) as pipeline:
            list(pipeline.predict(street))
            assert (pipeline.model, pipeline.threshold) == (name, 0.5)
        served = json.loads((site / "served.json").read_text())
        repository = Path(served[served.index("--model-repository") + 1])
        assert served[served.index("--model") + 1] == name
        assert (repository / name / "config.pbtxt").is_file()
        assert json.loads((site / "asked.json").read_text()) == {"model": name}
    (argv,) = exports(site)
    options = dict(zip(argv[::2], argv[1::2], strict=True))
    assert (options["--model_dir"], options["--name"], options["--precision"]) == ("./tuned", name, "fp32")
    shown = capsys.readouterr().err
    assert f"sod: exporting ./tuned as {name}; this is done once" in shown
    assert "sod: comparing 3 images" in shown
    (tuned / "inference.pdiparams").write_text("trained further")
    create_pipeline(file).close()
    assert len(exports(site)) == 2


def test_the_command_starts_a_local_server_although_another_runs(
    site: Path, tmp_path: Path, street: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sod_client._cli.server_address.DEFAULT_URL", server.url)
    assert main(["--pipeline", str(pipeline_file(tmp_path, "tuned")), "--input", str(street)]) == 0
    assert not server.requests
    assert json.loads((site / "asked.json").read_text())["model"].startswith("PP-YOLOE_plus_SOD-L-")


@pytest.mark.usefixtures("site")
def test_it_is_served_by_the_line_that_serves(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SOD_DEFAULT_THRESHOLD", "")  # so that monkeypatch removes what the command sets
    monkeypatch.delenv("SOD_DEFAULT_THRESHOLD")
    calls: list[Any] = []
    monkeypatch.setattr("sod_client._cli.plugins.run", lambda name, arguments: calls.append([name, *arguments]) or 0)
    assert main(["--serve", "--pipeline", str(pipeline_file(tmp_path, "tuned", "mine"))]) == 0
    ((_, *arguments),) = calls
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options["--model"] == served_name("tuned", "mine")
    assert (Path(options["--model-repository"]) / options["--model"]).is_dir()


def test_a_failed_export_is_an_error_and_is_tried_again(site: Path, tmp_path: Path) -> None:
    (site / "fails").touch()
    file = pipeline_file(tmp_path, "tuned")
    for _ in range(2):
        with pytest.raises(LocalServerError, match=r"model_dir 'tuned' cannot be served: it is not a SOD model$"):
            create_pipeline(file)
    assert len(exports(site)) == 2
    (site / "fails").unlink()
    create_pipeline(file).close()
    assert not list((tmp_path / "cache" / "served").glob(".*"))


def models(server: FakeServer, *names: str) -> None:
    listed = [
        {"name": name, "labels": ["car"], "inputSize": None, "default": not number} for number, name in enumerate(names)
    ]
    detected = server.reply

    def reply(body: Any) -> Any:
        content = {"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": {"models": listed}}
        return (200, json.dumps(content).encode()) if body is None else detected(body)

    server.reply = reply


def test_a_server_without_the_model_is_an_error_and_never_its_default(
    server: FakeServer, tmp_path: Path, street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models(server, "PP-YOLOE_plus_SOD-L", "other")
    name = served_name("tuned", "PP-YOLOE_plus_SOD-L")
    message = (
        rf"does not serve model_dir 'tuned', only PP-YOLOE_plus_SOD-L, other: .*sod export --model_dir tuned .*{name}"
    )
    with pytest.raises(InvalidConfigError, match=message):
        create_pipeline(pipeline_file(tmp_path, "tuned"), url=server.url)
    monkeypatch.setenv("SOD_URL", server.url)
    assert main(["--pipeline", str(pipeline_file(tmp_path, "tuned")), "--input", str(street)]) == 2
    assert all(body is None for _, body in server.requests)


@pytest.mark.parametrize("given", ["PP-YOLOE_plus_SOD-L", "tuned-by-me"])
def test_a_server_that_has_the_model_is_asked_for_it(
    given: str, server: FakeServer, tmp_path: Path, street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = pipeline_file(tmp_path, "tuned", given)
    wanted = served_name("tuned", given)
    models(server, "PP-YOLOE_plus_SOD-S", "tuned-by-me", wanted)
    with create_pipeline(file, url=server.url) as pipeline:
        list(pipeline.predict(street))
    assert server.requests[-1][1]["model"] == wanted, "the content decides before the name"
    models(server, "PP-YOLOE_plus_SOD-L", "tuned-by-me")
    if given == "tuned-by-me":
        with create_pipeline(file, url=server.url) as pipeline:
            list(pipeline.predict(street))
        assert server.requests[-1][1]["model"] == given


def test_a_model_dir_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match=r"model_dir 'nowhere': no such folder \(the working directory is "):
        create_pipeline(pipeline_file(tmp_path, "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidConfigError, match="model_dir 'empty' contains no files"):
        create_pipeline(pipeline_file(tmp_path, "empty"))


def test_an_explicit_model_takes_precedence(server: FakeServer, tuned: Path, tmp_path: Path) -> None:
    with pytest.warns(SodWarning, match="model_dir .* is not used, because model='other' is given"):
        create_pipeline(pipeline_file(tmp_path, str(tuned)), url=server.url, model="other").close()


def test_serve_gives_the_exported_model_the_threshold_of_the_file(
    site: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[list[str]] = []
    monkeypatch.setattr("sod_client._cli.plugins.run", lambda _, arguments: served.append(arguments) or 0)
    monkeypatch.setenv("SOD_DEFAULT_THRESHOLD", "")
    file = pipeline_file(tmp_path, "./tuned")
    document = yaml.safe_load(file.read_text())
    for threshold in (0.5, {0: 0.3, 1: 0.6}, {0: 0.3, 1: 0.6}, None):
        document["SubModules"]["SmallObjectDetection"]["threshold"] = threshold
        file.write_text(yaml.safe_dump(document))
        assert main(["--serve", "--pipeline", str(file)]) == 0
    exported = list(yaml.safe_load_all((site / "pipelines").read_text()))
    assert [each["SubModules"]["SmallObjectDetection"] for each in exported] == [
        {"model_name": served_name("tuned", "PP-YOLOE_plus_SOD-L"), "model_dir": str(tuned), "threshold": threshold}
        for threshold in (0.5, {0: 0.3, 1: 0.6})
    ]
    assert exports(site)[-1][:2] == ["--model_dir", "./tuned"], "the model's own threshold"
    repositories = [arguments[arguments.index("--model-repository") + 1] for arguments in served]
    assert len(set(repositories)) == 3
    assert repositories[1] == repositories[2]
    assert os.environ["SOD_DEFAULT_THRESHOLD"] == "", "it would not replace the threshold of the model"
