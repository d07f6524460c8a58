"""Options that several commands share."""

import argparse
from collections.abc import Sequence

from sod_client._cli import output, values
from sod_client._config import PIPELINE
from sod_client._inputs.stretch import STRETCHES
from sod_client._slices import COMBINE_METHODS, MATCH_METRICS

OptionGroup = argparse.ArgumentParser | argparse._ArgumentGroup
_WINDOWS = ". Files of any size: those that the server does not take whole, and georeferenced ones, are read in windows"
# Options whose value may be left out, and the values.
_OPTIONAL_VALUES = {"--slice_infer": ("auto",), "--stretch": STRETCHES}


def with_flags_last(arguments: Sequence[str]) -> list[str]:
    """The arguments, with options that have no value moved to the end.

    argparse would take the image behind them for the value: `sod predict --slice_infer scene.tif`.

    >>> with_flags_last(["--stretch", "a.tif", "--slice_infer", "auto", "b.tif"])
    ['a.tif', '--slice_infer', 'auto', 'b.tif', '--stretch']
    """
    kept: list[str] = []
    flags: list[str] = []
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for argument, following in zip(arguments[:end], [*arguments[1:end], ""], strict=True):
        is_flag = argument in _OPTIONAL_VALUES and following not in _OPTIONAL_VALUES[argument]
        (flags if is_flag else kept).append(argument)
    return [*kept, *flags, *arguments[end:]]


def add_pipeline(parser: OptionGroup, default: str | None) -> None:
    """Add the option that selects the pipeline."""
    parser.add_argument(
        "--pipeline",
        default=default,
        metavar="NAME|FILE",
        help=f"name of the pipeline, or a pipeline file (.yaml, .yml) (default: {PIPELINE})",
    )


def add_server(parser: OptionGroup) -> None:
    """Add the option that selects the server."""
    parser.add_argument(
        "--url",
        help="address of the server: http(s)://HOST:PORT, or grpc(s)://HOST:PORT or triton+http(s)://HOST:PORT of "
        "Triton itself",
    )
    parser.add_argument(
        "--ca",
        metavar="FILE",
        help="certificates (PEM) of the authority of a server with TLS, trusted beside the public ones (default: that "
        "of SOD_CA_FILE or SSL_CERT_FILE)",
    )
    parser.add_argument("--insecure", action="store_true", help="do not verify the certificate of a server with TLS")


def add_request(parser: OptionGroup, *, of_files: bool = True) -> None:
    """Add the options of requests and retries; and of how files are read, which videos have not."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="one of `sod models` (default: the model of the pipeline file, or the server's default)",
    )
    parser.add_argument(
        "--threshold",
        type=values.threshold,
        metavar="T",
        help="score that an object must exceed: a number such as 0.5, by class car:0.5,3:0.3 (label or id), or both "
        "0.2,car:0.5; labels with commas as {'a, b': 0.5} (default: the threshold of the pipeline file, or the model's "
        "default)",
    )
    parser.add_argument(
        "--classes",
        type=values.classes,
        metavar="C",
        help="detect only objects of these classes: labels and ids such as car,bus,3, or ['a, b', 3] (default: all)",
    )
    parser.add_argument(
        "--iou",
        type=values.share,
        metavar="T",
        help="leave out an object whose IoU with a better one is greater (default: the model's own value, 0.6)",
    )
    parser.add_argument(
        "--agnostic_nms",
        action="store_true",
        help="leave out an object because of a better one of another class, too, so that each object has one class",
    )
    if of_files:
        parser.add_argument(
            "--stretch",
            nargs="?",
            choices=STRETCHES,
            const="percentile",
            default="none",
            help="scale images with more than 8 bits: the range between the 0.5th and the 99.5th percentile of each "
            "(percentile, also without a value), or between its lowest and its highest value (min-max), becomes 0 to "
            "255; with none, 16 bits keep their upper byte, and 32 bits and floating-point numbers are refused "
            "(default: none)",
        )
    parser.add_argument(
        "--max_in_flight",
        type=values.at_least_one,
        default=4,
        metavar="N",
        help="the most images that are with the server at once (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=values.seconds,
        default=300.0,
        metavar="SECONDS",
        help="seconds to wait for a response (default: %(default)g)",
    )
    parser.add_argument(
        "--retries",
        type=values.from_zero,
        default=3,
        metavar="N",
        help="the most further attempts if the server is overloaded or cannot be reached (default: %(default)s)",
    )


def add_slices(parser: OptionGroup, *, of_files: bool = True) -> None:
    """Add the options of sliced inference, with PaddleDetection's names; and of how files are read in windows."""
    parser.add_argument(
        "--slice_infer",
        nargs="?",
        choices=("auto",),
        const=True,
        help="detect images in overlapping slices, so that small objects in large images are found; auto: only images "
        "larger than 1.5 times the model's input" + (_WINDOWS if of_files else ""),
    )
    if of_files:
        parser.add_argument(
            "--bands",
            type=values.bands,
            metavar="R,G,B",
            help="with --slice_infer: the bands of a file that are red, green and blue, from 1, such as 3,2,1, or one "
            "band (default: those that the file calls so, or else the first)",
        )
        parser.add_argument(
            "--resume",
            action="store_true",
            help="with --slice_infer and --save_path: go on with files whose detection was interrupted",
        )
    parser.add_argument(
        "--slice_size",
        type=values.at_least_one,
        nargs=2,
        metavar=("W", "H"),
        help="width and height of a slice in pixels (default: the model's input)",
    )
    parser.add_argument(
        "--overlap_ratio",
        type=values.share,
        nargs=2,
        metavar=("X", "Y"),
        help="share of a slice that its neighbours cover too (default: 0.25 0.25)",
    )
    parser.add_argument(
        "--combine_method",
        choices=COMBINE_METHODS,
        help="what becomes of boxes that match: the best stays (nms), their common box (nmm), or all (default: nms)",
    )
    parser.add_argument(
        "--match_metric",
        choices=MATCH_METRICS,
        help="overlap of two boxes, over the smaller one (ios) or over both (iou) (default: ios)",
    )
    parser.add_argument(
        "--match_threshold",
        type=values.share,
        metavar="T",
        help="boxes of one class match from this overlap on (default: 0.6)",
    )


def add_local_server(parser: OptionGroup) -> None:
    """Add the options of a local server."""
    parser.add_argument("--device", help="device of a local server: cpu, gpu, gpu:0, or gpu:0,1")
    parser.add_argument(
        "--use_hpip",
        action="store_true",
        default=None,
        help="run a local server in high-performance mode: OpenVINO, or TensorRT in Triton's image",
    )
    parser.add_argument(
        "--no_hpip",
        dest="use_hpip",
        action="store_false",
        help="run a local server in regular mode: Paddle Inference, or ONNX Runtime on a GPU",
    )
    for name in ("engine", "engine_config", "hpi_config"):
        value_type = str if name == "engine" else values.literal
        parser.add_argument(f"--{name}", type=value_type, metavar="X", help="option of PaddleX, without effect")


def add_output(parser: OptionGroup, *, default_format: str | None = None, save_may_be_folder: bool = False) -> None:
    """Add the options of what is printed and saved.

    Args:
        parser: receives the options.
        default_format: of `--format`; None is `text` on a terminal, and otherwise `python`.
        save_may_be_folder: whether `--save FOLDER` stands for `--save_path`, as in PaddleX.
    """
    parser.add_argument(
        "--save_path",
        "--save-path",
        metavar="DIR",
        help="folder to write files to; subfolders of a folder are mirrored, and of two images with the same name the "
        "second gets _2",
    )
    parser.add_argument(
        "--save",
        type=output.files_or_folder if save_may_be_folder else output.files,
        default=output.DEFAULT_FILES,
        metavar="FILES",
        help="files to write to --save_path, separated by commas: json (NAME_res.json), img (NAME_res.EXT, the image "
        "with its boxes), csv (NAME_res.csv), yolo (NAME.txt), and of a georeferenced image geojson (NAME_res.geojson) "
        f"and gpkg (NAME_res.gpkg, a GeoPackage) (default: {','.join(output.DEFAULT_FILES)}, and geojson if it can be)",
    )
    parser.add_argument("--no_image", "--no-image", action="store_true", help="leave img out of --save")
    parser.add_argument(
        "--format",
        choices=output.FORMATS,
        default=default_format,
        help="what to print: text prints the number of objects by class, one line per image, python and json all "
        "objects, one line per image, csv one line per object, coco the array of a COCO results file, whose image_id "
        f"is the file name without its suffix (default: {default_format or 'text on a terminal, otherwise python'})",
    )
    parser.add_argument(
        "--first_category_id",
        type=values.from_zero,
        default=0,
        metavar="N",
        help="category id of the first class in the output of coco; many data sets count from 1 (default: %(default)s)",
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    parser.add_argument(
        "--on_error",
        choices=("skip", "raise"),
        default="skip",
        help="if an image cannot be read or saved, or is refused, print the error and continue, or stop (default: "
        "%(default)s)",
    )
    parser.add_argument("--no_progress", action="store_true", help="show no progress bar")
