"""`sod batch`: detects the objects of an archive of images into a Parquet dataset."""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sod_client._archives.inputs.manifests import COLUMNS
from sod_client._archives.run.settings import Detection, Server
from sod_client._cli import console, options, server_address, values
from sod_client._cli.console import plural
from sod_client._config import PIPELINE
from sod_client._local_server.device import parse_device
from sod_client._slices import SliceOptions
from sod_client.errors import InvalidConfigError, SodError, SodWarning

if TYPE_CHECKING:
    from sod_client._archives.cluster.worker import RayDetectors
    from sod_client._archives.run.batch import Batch
    from sod_client._archives.run.collect import Totals

NAME = "batch"
HELP = "detect objects in archives of images"
FORMATS = ("geojson", "geoparquet", "coco", "yolo")
_SHOWN_WARNINGS = 10
_EXIT_CODES = """\
exit codes:
  0    every image is in the dataset
  1    an image failed, an input could not be listed, or OUTPUT could not be written; --retry-failed does failed images
       again
  2    the command line is invalid, another process writes to OUTPUT, or OUTPUT has the rows of another model or of
       other settings
  3    no server responded, it refused the API key, or the local server did not start; the same command goes on
  130  interrupted by Ctrl-C; what was done is written, and the same command goes on
"""


def create_parser(prog: str = "sod batch") -> argparse.ArgumentParser:
    """The parser of the command."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Detect objects in archives of images, and write a Parquet dataset with one row per image. The\n"
        "same command goes on after an interruption: what is done and unchanged is not done again.\n"
        "docs/archives.md describes the dataset.",
        epilog=f"{server_address.RULE}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        conflict_handler="resolve",  # --url may be given several times here
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        nargs="+",
        help="a folder (with its subfolders), a pattern, a list of images (.txt, .csv, .parquet), a tar or zip, an "
        "image, a PDF; each local or at s3://, gs:// or http(s)://",
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="the dataset: a folder, or an address such as s3://BUCKET/PREFIX"
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help=f"the column of lists with the images (default: the first of {', '.join(COLUMNS)})",
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare files with their rows by SHA-256 rather than by size and time"
    )
    parser.add_argument("--retry-failed", "--retry_failed", action="store_true", help="do failed images again")
    parser.add_argument("--restart", action="store_true", help="remove the rows of OUTPUT and do every image again")
    parser.add_argument(
        "--also",
        action="append",
        choices=FORMATS,
        default=[],
        help="write the objects in this format beside the dataset, too; may be repeated",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write report.html and report.md to OUTPUT: counts by class, scores, and a sheet of images",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="detect on the nodes of a Ray cluster: its address, or auto for the one that runs here, or a new one; "
        "without --url each node starts a server",
    )
    parser.add_argument(
        "--ray-cpus",
        "--ray_cpus",
        type=values.at_least_one,
        metavar="N",
        help="with --ray, and without --url: CPUs of a node for its server (default: all that it has)",
    )
    options.add_pipeline(parser, PIPELINE)
    options.add_server(parser)
    parser.add_argument(
        "--url",
        action="append",
        help="address of the server: http(s)://HOST:PORT, grpc(s)://HOST:PORT or triton+http(s)://HOST:PORT; if it is "
        "given several times, each image goes to the least busy one",
    )
    options.add_request(parser)
    options.add_slices(parser)
    options.add_local_server(parser)
    parser.add_argument("--no_progress", action="store_true", help="show no progress bar or lines, and no totals")
    for action in parser._actions:
        if action.dest == "resume":
            action.help = argparse.SUPPRESS
    parser.set_defaults(max_in_flight=8, retries=6)
    return parser


def main(argv: Sequence[str], prog: str = "sod batch") -> int:
    """Run the command; returns the exit code."""
    arguments = create_parser(prog).parse_args(options.with_flags_last(argv))
    _limit_warnings()
    try:
        return _run(arguments)
    except SodError as error:
        console.print_error(str(error))
        return _exit_code(error)


def _run(arguments: argparse.Namespace) -> int:
    # pyarrow reads it when it is imported. Its usual allocator, mimalloc, keeps 20 MiB more after merging small files.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from sod_client._archives.dataset.dataset import Dataset  # noqa: PLC0415 - for a quick --help
    from sod_client._archives.report import formats, pages  # noqa: PLC0415
    from sod_client._archives.run.batch import Batch, run  # noqa: PLC0415

    urls: list[str] = arguments.url or []
    if len(urls) < 2:
        arguments.url = urls[0] if urls else None
        found = server_address.server_url(
            arguments,
            # The nodes do not reach a server at this machine's loopback address.
            needs_own_model=arguments.ray is not None or server_address.needs_own_model(arguments),
            starts_server=arguments.ray is None,
        )
        urls = [] if found is None else [found]

    def finish(dataset: Dataset) -> None:
        made = [formats.write(dataset, format_) for format_ in dict.fromkeys(arguments.also)]
        made += pages.write(dataset) if arguments.report else []
        if made:
            console.print_status(f"wrote {', '.join(made)} to {arguments.output}")

    batch = Batch(
        inputs=arguments.input,
        output=arguments.output,
        server=_server(arguments, urls),
        detection=_detection(arguments),
        column=arguments.column,
        verify=arguments.verify,
        retry_failed=arguments.retry_failed,
        restart=arguments.restart,
        hides_progress=arguments.no_progress,
        finish=finish,
    )
    start = time.monotonic()
    totals = run(batch, _on_cluster(batch, arguments.ray, arguments.ray_cpus))
    return _report(totals, time.monotonic() - start, is_quiet=arguments.no_progress)


def _server(arguments: argparse.Namespace, urls: list[str]) -> Server:
    return Server(
        urls=urls,
        pipeline=arguments.pipeline,
        max_in_flight=arguments.max_in_flight,
        timeout=arguments.timeout,
        retries=arguments.retries,
        ca_file=arguments.ca,
        insecure=arguments.insecure,
        device=arguments.device,
        use_hpip=arguments.use_hpip,
    )


def _detection(arguments: argparse.Namespace) -> Detection:
    return Detection(
        model=arguments.model,
        threshold=arguments.threshold,
        classes=arguments.classes,
        iou=arguments.iou,
        agnostic_nms=arguments.agnostic_nms,
        stretch=arguments.stretch,
        slices=SliceOptions(
            arguments.slice_infer,
            arguments.slice_size,
            arguments.overlap_ratio,
            arguments.combine_method,
            arguments.match_metric,
            arguments.match_threshold,
        ),
        bands=arguments.bands,
    )


def _report(totals: "Totals", seconds: float, *, is_quiet: bool) -> int:
    """Print what a run did, unless it is quiet and there is nothing to complain of; returns the exit code."""
    from sod_client._archives.run.progress import failures_by_kind  # noqa: PLC0415 - for a quick --help

    rate = f" ({totals.images / seconds:.1f} images/s, {totals.size / 1e6 / seconds:.1f} MB/s)" if totals.images else ""
    parts = [
        f"{plural(totals.images, 'image')}, {plural(totals.objects, 'object')} in {seconds:.1f} s{rate}",
        f"{plural(totals.kept, 'file')} {'was' if totals.kept == 1 else 'were'} done before" if totals.kept else "",
        failures_by_kind(totals.failures),
    ]
    sentence = "; ".join(filter(None, parts))
    if totals.interrupted:
        console.print_error(f"interrupted: {sentence}. The same command goes on")
        return console.INTERRUPTED
    if totals.failures:
        hint = "; --retry-failed does failed images again" if set(totals.failures) - {"not listed"} else ""
        console.print_error(sentence + hint)
    elif not is_quiet:
        console.print_summary(sentence)
    return console.FAILED if totals.failures else console.OK


def _on_cluster(batch: "Batch", address: str | None, cpus: int | None) -> "Callable[[], RayDetectors] | None":
    """Connect to a Ray cluster, whose nodes do the work; None without an address.

    Raises:
        InvalidConfigError: options contradict each other.
        ConnectionFailedError: there is no cluster.
    """
    server = batch.server
    if cpus is not None and (address is None or server.urls):
        raise InvalidConfigError("--ray-cpus is for the servers that nodes start: it needs --ray, and no --url")
    if address is None:
        return None
    from sod_client._archives.cluster.worker import RayDetectors, connect  # noqa: PLC0415 - it needs Ray

    if not server.urls:
        if server.device is not None and parse_device(server.device)[0] == "gpu" and ":" in server.device:
            raise InvalidConfigError(f"Ray chooses the GPUs of a node: --device gpu, not {server.device}")
        console.print_status("a server is started on each node of the cluster; --url uses running ones")
    connect(address)
    # The nodes' own environment and working folder are others.
    server = replace(
        server,
        api_key=os.environ.get("SOD_API_KEY") or None,
        pipeline=_absolute(server.pipeline),
        ca_file=None if server.ca_file is None else str(Path(server.ca_file).absolute()),
    )
    return lambda: RayDetectors(server, batch.detection, cpus)


def _absolute(pipeline: str | None) -> str | None:
    """The name of a pipeline, or the absolute path of its file."""
    return str(Path(pipeline).absolute()) if pipeline is not None and Path(pipeline).is_file() else pipeline


def _exit_code(error: SodError) -> int:
    from sod_client._archives.dataset.lock import LockedError  # noqa: PLC0415
    from sod_client._archives.dataset.place import OutputError  # noqa: PLC0415

    if isinstance(error, OutputError):
        return console.FAILED
    return console.USAGE if isinstance(error, LockedError) else console.exit_code_before_sending(error)


def _limit_warnings() -> None:
    """Show the first warnings of images only: an archive of dark images would give a million."""
    show, shown = warnings.showwarning, 0

    def show_some(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
        nonlocal shown
        shown += issubclass(category, SodWarning)
        if not issubclass(category, SodWarning) or shown <= _SHOWN_WARNINGS:
            show(message, category, *place, **more)  # type: ignore[arg-type]
        if shown == _SHOWN_WARNINGS + 1:
            shown += 1
            print("sod: note: further warnings of images are not shown", file=sys.stderr)

    warnings.showwarning = show_some
