"""`sod predict`, which the command line without a sub-command runs, too."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sod_client._cli import console, options, server_address
from sod_client._cli.console import plural
from sod_client._cli.output import DEFAULT_FILES, Output
from sod_client._cli.progress import Progress, count
from sod_client._config import PIPELINE
from sod_client.errors import SodError
from sod_client.pipeline import Pipeline
from sod_client.result import Result

JOURNALS = ".sod-journal"
"""The folder in --save_path for what is known of images whose detection was interrupted."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "predict",
        help="detect objects in images",
        description="Detect objects in images, and print one line per image: on a terminal the number of objects by "
        "class, otherwise {'res': {...}}, as PaddleX does.",
        epilog=f"{server_address.RULE}\n{console.EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "input",
        metavar="IMAGE",
        nargs="+",
        help="an image, a PDF (every page), a TIFF (every frame), a folder (with its subfolders), or an http(s) URL",
    )
    options.add_pipeline(parser, PIPELINE)
    options.add_server(parser)
    options.add_request(parser)
    options.add_slices(parser)
    options.add_output(parser)
    options.add_local_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Process the images that the arguments name; returns the exit code."""
    out = Output(
        arguments.format or ("text" if sys.stdout.isatty() else "python"),
        arguments.save_path,
        [file for file in arguments.save if not (file == "img" and arguments.no_image)],
        first_category_id=arguments.first_category_id,
        adds_geojson=arguments.save == DEFAULT_FILES,
    )
    if arguments.resume and arguments.save_path is None:
        console.print_error("--resume needs the --save_path of the interrupted run")
        return console.USAGE
    _note_options_without_effect(arguments, out.format)
    try:
        pipeline = server_address.open_pipeline(arguments)
    except SodError as error:
        console.print_error(str(error))
        return console.exit_code_before_sending(error)
    with pipeline, Progress(count(arguments.input), is_hidden=arguments.no_progress) as progress:
        return _Run(pipeline, out, progress).run(arguments)


def _note_options_without_effect(arguments: argparse.Namespace, format_: str) -> None:
    for option, is_given, needed in (
        ("--save", arguments.save != DEFAULT_FILES and arguments.save_path is None, "--save_path"),
        ("--first_category_id", arguments.first_category_id != 0 and format_ != "coco", "--format coco"),
    ):
        if is_given:
            console.print_error(f"note: {option} has an effect only with {needed}")


class _Run:
    """One run of the command: prints, saves and counts the results."""

    def __init__(self, pipeline: Pipeline, out: Output, progress: Progress) -> None:
        self._pipeline = pipeline
        self._out = out
        self._progress = progress
        self._images = self._objects = self._failed = 0

    def run(self, arguments: argparse.Namespace) -> int:
        """Process all images and print the totals; returns the exit code."""
        start = time.monotonic()
        try:
            code = self._process(arguments.input, arguments)
        except KeyboardInterrupt:
            with self._progress.paused():
                console.print_error(f"interrupted after {plural(self._images, 'image')}{self._kept(arguments)}")
            raise
        if code == console.UNREACHABLE:
            return code  # the error was printed, and the totals would add nothing
        totals = f"{plural(self._images, 'image')}, {plural(self._objects, 'object')}, "
        if self._failed:
            totals += f"{self._failed} failed, "
        totals += f"in {time.monotonic() - start:.1f} s"
        with self._progress.paused():
            if self._failed:
                console.print_error(totals)
            else:
                console.print_status(totals)
        return console.FAILED if self._failed else code

    def _process(self, inputs: Sequence[str], arguments: argparse.Namespace) -> int:
        results = self._pipeline.predict(
            inputs,
            arguments.threshold,
            visualize=self._out.needs_drawing(inputs),
            classes=arguments.classes,
            iou=arguments.iou,
            agnostic_nms=arguments.agnostic_nms,
            stretch=arguments.stretch,
            slice_infer=arguments.slice_infer,
            slice_size=arguments.slice_size,
            overlap_ratio=arguments.overlap_ratio,
            combine_method=arguments.combine_method,
            match_metric=arguments.match_metric,
            match_threshold=arguments.match_threshold,
            bands=arguments.bands,
            journal=None if arguments.save_path is None else Path(arguments.save_path) / JOURNALS,
            resume=arguments.resume,
            on_slice=self._progress.slices,
            on_error="raise" if arguments.on_error == "raise" else self._report_failure,
        )
        try:
            for result in results:
                self._handle(result, stops=arguments.on_error == "raise")
        except SodError as error:
            with self._progress.paused():
                console.print_error(str(error))
            self._failed += 1
            return console.exit_code(error)
        with self._progress.paused():
            self._out.finish()
        return console.OK

    def _handle(self, result: Result, *, stops: bool) -> None:
        self._images += 1
        self._objects += len(result.boxes)
        with self._progress.paused():
            saved = None
            try:
                saved = self._out.save(result)
            except (SodError, OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                sentence = f"{result.input_path}{_page(result)}: not saved: {reason}"
                if stops:
                    raise SodError(sentence) from error
                self._failed += 1
                console.print_error(sentence)
            self._out.print(result, saved)
        self._progress.step()

    def _kept(self, arguments: argparse.Namespace) -> str:
        done, total = self._progress.slices_done
        if not done or arguments.save_path is None:
            return ""
        return f" and {done:,} of {plural(total, 'slice')} of the next: the same command with --resume goes on"

    def _report_failure(self, error: SodError) -> None:
        self._failed += 1
        with self._progress.paused():
            console.print_error(str(error))
        self._progress.step()


def _page(result: Result) -> str:
    return "" if result.page_index is None else f" (page {result.page_index})"
