"""`sod eval` in slices: what is asked of the gateway, which here is a small web server."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from benchmarks.evaluation.cli import main
from tests.benchmarks.test_evaluation import write_image

CAR = [100, 50, 140, 90]


class Gateway(BaseHTTPRequestHandler):
    """Finds the car only in slices."""

    def do_GET(self):
        self.reply(200, {"result": {"models": [{"name": "S", "labels": ["car"]}]}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body.get("slice"))
        if self.server.refuse:
            self.reply(422, {"errorCode": 422, "errorMsg": "the image makes 600 slices; the limit is 512"})
            return
        objects = [{"bbox": CAR, "score": 0.9, "categoryId": 0}] if "slice" in body else []
        self.reply(200, {"result": {"detectedObjects": objects}})

    def reply(self, status, document):
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.asked, server.refuse = [], False
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def words(gateway, tmp_path):
    write_image(tmp_path / "images/a.png", 480, 640)
    x1, y1, x2, y2 = CAR
    (tmp_path / "labels").mkdir()
    share = [(x1 + x2) / 2 / 640, (y1 + y2) / 2 / 480, (x2 - x1) / 640, (y2 - y1) / 480]
    (tmp_path / "labels/a.txt").write_text("0 " + " ".join(map(str, share)))
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [car]\n")
    return [str(tmp_path), "--url", f"http://127.0.0.1:{gateway.server_port}"]


def test_whole_images_and_slices_in_one_report(gateway, words, tmp_path, capsys):
    out = tmp_path / "out.json"
    options = ["--slice_size", "320", "240", "--match_metric", "iou", "--json", str(out)]
    assert main([*words, "--against", "slices", *options]) == 0
    printed = capsys.readouterr().out
    assert "|  | whole | slices | difference |" in printed
    assert "| AP50 | 0.00 | 100.00 | +100.00 |" in printed
    assert "| AP medium | 0.00 | 100.00 | +100.00 |" in printed
    asked = {
        "size": [320, 240],
        "overlap": [0.25, 0.25],
        "combine": "nms",
        "matchMetric": "iou",
        "matchThreshold": 0.6,
    }
    assert gateway.asked == [None, asked]
    runs = json.loads(out.read_text())["runs"]
    assert np.array(runs["slices"]["confusion"]["counts"]).tolist() == [[1, 0], [0, 0]]
    assert np.array(runs["whole"]["confusion"]["counts"]).tolist() == [[0, 1], [0, 0]]


def test_slices_against_whole_images(gateway, words, capsys):
    assert main([*words, "--slice_infer", "--against", "whole"]) == 0
    assert "|  | slices | whole | difference |" in capsys.readouterr().out
    assert gateway.asked == [True, None]


def test_slices_may_be_asked_for_before_the_data(gateway, words):
    assert main(["--slice_infer", *words]) == 0
    assert gateway.asked == [True]


def test_slices_alone(gateway, words, capsys):
    assert main([*words, "--slice_infer", "auto"]) == 0
    printed = capsys.readouterr().out
    assert "| AP50 | 100.00 |" in printed
    assert "S, 1 image of " in printed
    assert 'S: measured with "slice": "auto" in the requests.' in printed
    assert gateway.asked == ["auto"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slice_size", "320", "320"], "options of slices have an effect only with slice_infer=True"),
        (["--slice_infer", "--slice_size", "3", "3"], "slice_size must be an integer from 32 to 16384"),
        (["--slice_infer", "--against", "slices"], "both would be in slices"),
        (["--against", "whole"], "both would be whole"),
        (["--slice_infer", "auto", "--overlap_ratio", "0.1", "0.1"], "only with slice_infer=True"),
    ],
)
def test_options_without_effect_are_one_sentence(gateway, words, options, message, capsys):
    assert main([*words, *options]) == 1
    assert message in capsys.readouterr().err
    assert not gateway.asked


@pytest.mark.parametrize(
    "options",
    [["--concurrency", "0"], ["--limit", "0"], ["--max-detections", "0"], ["--bands", "3,2,1"], ["--resume"]],
)
def test_options_that_cannot_be_are_refused(gateway, words, options, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, *options])
    assert stop.value.code == 2
    assert options[0] in capsys.readouterr().err
    assert not gateway.asked


def test_the_servers_message_is_shown(gateway, words, capsys):
    gateway.refuse = True
    assert main([*words, "--slice_infer"]) == 1
    assert "a.png: the server's error is 422: the image makes 600 slices; the limit is 512" in capsys.readouterr().err


def test_files_that_cannot_be_written_are_one_sentence(words, tmp_path, capsys):
    assert main([*words, "--slice_infer", "--plot", str(tmp_path / "absent/curves.png")]) == 1
    assert "absent/curves.png: No such file or directory" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--plot", "curves.doc"])
    assert "curves.doc must end in .png, .svg, .pdf" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--bands", "3,2,1"], ["--resume"]], ids=lambda words: words[0])
def test_options_of_files_are_refused_because_the_gateway_reads_them(gateway, words, options, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--slice_infer", *options])
    assert stop.value.code == 2
    assert f"unrecognized arguments: {' '.join(options)}" in capsys.readouterr().err
    assert not gateway.asked
