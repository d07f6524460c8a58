"""`sod predict`, and what of it the form without a sub-command shares."""

import argparse
import time
from collections.abc import Sequence

from sod_client._cli import console, options, output, where
from sod_client._cli.output import Output
from sod_client._cli.progress import Progress, count
from sod_client._config import PIPELINE
from sod_client.errors import SodError
from sod_client.pipeline import Pipeline, create_pipeline
from sod_client.result import Result


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The sub-command."""
    parser = commands.add_parser(
        "predict",
        help="detect objects in images",
        description="Detect objects in images, and print {'res': {...}} for each, one line an image.",
        epilog=f"{where.RULE}\n{console.EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "input",
        metavar="IMAGE",
        nargs="+",
        help="an image, PDF (each page), TIFF (each frame), folder (with all below it), or an http(s) URL for the "
        "server to fetch",
    )
    options.add_pipeline(parser, PIPELINE)
    options.add_predict(parser)
    add_output(parser)


def add_output(parser: options.Parser) -> None:
    """Options of what is printed and saved."""
    parser.add_argument(
        "--save",
        type=output.files,
        default=output.DEFAULT_FILES,
        metavar="FILES",
        help="what to write in --save_path, by commas, of json (NAME_res.json), img (NAME_res.EXT, the image with "
        "its boxes), csv (NAME_res.csv) and yolo (NAME.txt); default: json,img",
    )
    parser.add_argument("--no_image", "--no-image", action="store_true", help="no img, whatever --save says")
    parser.add_argument(
        "--format",
        choices=output.FORMATS,
        default="python",
        help="what to print: python and json a line an image, csv a line an object, coco an array of a COCO results "
        "file (image_id is the file's name without its ending); default: %(default)s",
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="--format json")
    parser.add_argument(
        "--on_error",
        choices=("skip", "raise"),
        default="skip",
        help="an image that cannot be read or is refused: say so and go on, or end there; default: %(default)s",
    )
    parser.add_argument("--no_progress", action="store_true", help="no progress bar on a terminal")


def run(arguments: argparse.Namespace) -> int:
    """Predict as the options say; returns the exit code."""
    out = Output(
        arguments.format,
        arguments.save_path,
        [file for file in arguments.save if not (file == "img" and arguments.no_image)],
    )
    try:
        pipeline = create_pipeline(
            arguments.pipeline,
            device=arguments.device,
            use_hpip=arguments.use_hpip,
            engine=arguments.engine,
            engine_config=arguments.engine_config,
            hpi_config=arguments.hpi_config,
            url=where.url_of(arguments),
            model=arguments.model,
            timeout=arguments.timeout,
            retries=arguments.retries,
            max_in_flight=arguments.max_in_flight,
        )
    except SodError as error:
        console.complain(str(error))
        return console.exit_code_before(error)
    with pipeline, Progress(count(arguments.input), quiet=arguments.no_progress) as progress:
        return _Run(pipeline, out, progress).run(arguments)


class _Run:
    """One run: prints, saves, counts."""

    def __init__(self, pipeline: Pipeline, out: Output, progress: Progress) -> None:
        self._pipeline = pipeline
        self._out = out
        self._progress = progress
        self._images = self._objects = self._failed = 0

    def run(self, arguments: argparse.Namespace) -> int:
        """All images, then the sums; returns the exit code."""
        began = time.monotonic()
        try:
            code = self._all(arguments.input, arguments)
        except KeyboardInterrupt:
            with self._progress.aside():
                console.complain(f"interrupted after {_many(self._images, 'image')}")
            raise
        if code == console.UNREACHABLE:
            return code  # what was said of it is enough
        sentence = f"{_many(self._images, 'image')}, {_many(self._objects, 'object')}, "
        if self._failed:
            sentence += f"{self._failed} failed, "
        sentence += f"in {time.monotonic() - began:.1f} s"
        with self._progress.aside():
            # A log wants the sums where something went wrong, a person always.
            if self._failed:
                console.complain(sentence)
            else:
                console.note(sentence)
        return console.FAILED if self._failed else code

    def _all(self, inputs: Sequence[str], arguments: argparse.Namespace) -> int:
        results = self._pipeline.predict(
            inputs,
            arguments.threshold,
            visualize=self._out.draws(inputs),
            on_error="raise" if arguments.on_error == "raise" else self._failure,
        )
        try:
            for result in results:
                self._one(result)
        except SodError as error:
            with self._progress.aside():
                console.complain(str(error))
            self._failed += 1
            return console.exit_code(error)
        with self._progress.aside():
            self._out.end()
        return console.OK

    def _one(self, result: Result) -> None:
        self._images += 1
        self._objects += len(result.boxes)
        with self._progress.aside():
            self._out.print(result)
            try:
                self._out.save(result)
            except (SodError, OSError) as error:
                self._failed += 1
                console.complain(f"{result.input_path}: not saved: {error}")
        self._progress.step()

    def _failure(self, error: SodError) -> None:
        self._failed += 1
        with self._progress.aside():
            console.complain(str(error))
        self._progress.step()


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
