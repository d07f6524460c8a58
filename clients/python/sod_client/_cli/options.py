"""Options that several forms of the command take."""

import argparse

from sod_client._cli import values
from sod_client._config import PIPELINE

Parser = argparse.ArgumentParser | argparse._ArgumentGroup


def add_where(parser: Parser) -> None:
    """Which server."""
    parser.add_argument("--url", help="the server: http(s)://HOST:PORT, or grpc://HOST:PORT for Triton itself")


def add_place(parser: Parser) -> None:
    """Where a local server runs its detectors."""
    parser.add_argument("--device", help="of a local server: cpu, gpu, gpu:0, gpu:0,1")
    parser.add_argument(
        "--use_hpip",
        action="store_true",
        default=None,
        help="high-performance mode of a local server: OpenVINO, or TensorRT in Triton's image",
    )
    parser.add_argument(
        "--no_hpip", dest="use_hpip", action="store_false", help="regular mode: Paddle Inference; on a GPU ONNX Runtime"
    )
    for name in ("engine", "engine_config", "hpi_config"):
        kind = str if name == "engine" else values.literal
        parser.add_argument(f"--{name}", type=kind, metavar="X", help="PaddleX's, without effect here")


def add_predict(parser: Parser) -> None:
    """What is asked, of whom, and where the answers go."""
    add_where(parser)
    parser.add_argument("--model", metavar="NAME", help="one of `sod models`; default: the file's, or the server's")
    parser.add_argument(
        "--threshold",
        type=values.threshold,
        metavar="T",
        help="the score to exceed: 0.5, or by class id 0:0.5,3:0.3 or '{0: 0.5, 3: 0.3}' (the other classes, and "
        "without this all: the file's, or the model's default, else 0.5)",
    )
    parser.add_argument(
        "--save_path",
        "--save-path",
        metavar="DIR",
        help="write files here; of two inputs with one name the later replaces the earlier",
    )
    add_place(parser)
    parser.add_argument(
        "--max_in_flight",
        type=values.at_least_one,
        default=4,
        metavar="N",
        help="images that are asked for at once; default: %(default)s",
    )
    parser.add_argument(
        "--timeout",
        type=values.seconds,
        default=300.0,
        metavar="SECONDS",
        help="to wait for an answer; default: %(default)g",
    )
    parser.add_argument(
        "--retries",
        type=values.whole,
        default=3,
        metavar="N",
        help="tries after the first while the server is overloaded or away; default: %(default)s",
    )


def add_pipeline(parser: Parser, default: str | None) -> None:
    """Which pipeline."""
    parser.add_argument(
        "--pipeline", default=default, metavar="NAME|FILE", help=f"{PIPELINE}, or a pipeline file (.yaml, .yml)"
    )
