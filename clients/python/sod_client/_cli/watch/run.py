"""Runs `sod watch`."""

import argparse
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager

from tqdm import tqdm

from sod_client._cli import console, server_address
from sod_client._cli.watch.checks import TRACKING, check_arguments
from sod_client._cli.watch.interruption import Interruption
from sod_client._cli.watch.outputs import Outputs, unwritten
from sod_client._filters import Filters
from sod_client._streams.counting import shapes
from sod_client._streams.result import FrameResult
from sod_client.errors import InvalidConfigError, SodError
from sod_client.pipeline import Pipeline


def run(arguments: argparse.Namespace) -> int:
    """Watch the sources that the arguments name; returns the exit code."""
    try:
        lines, zones = _shapes(arguments)
        check_arguments(arguments)
        interruption = Interruption()
        outputs = Outputs(arguments, lines, zones, _note, interruption)
    except SodError as error:
        console.print_error(str(error))
        return console.USAGE
    code = console.FAILED
    with interruption:
        try:
            code = _watch(arguments, lines, zones, outputs)
        finally:
            code = outputs.close() or code
    return code


def _watch(
    arguments: argparse.Namespace, lines: list[shapes.Shape], zones: list[shapes.Shape], outputs: Outputs
) -> int:
    try:
        pipeline = server_address.open_pipeline(arguments)
    except SodError as error:
        console.print_error(str(error))
        return console.exit_code_before_sending(error)
    with pipeline, _Progress(is_hidden=arguments.no_progress) as progress:
        try:
            _check_blur(pipeline, arguments)
            results = _results(pipeline, arguments, lines, zones)
        except SodError as error:
            console.print_error(str(error))
            return console.exit_code_before_sending(error)
        try:
            for result in results:
                progress.step(result)
                outputs.write(result)
        except SodError as error:
            with progress.paused():
                console.print_error(str(error))
            return console.exit_code(error)
        except BrokenPipeError:  # for example `sod watch … | head -1`
            raise
        except OSError as error:
            with progress.paused():
                console.print_error(f"{unwritten(error)}; what is there is whole")
            return console.FAILED
        finally:
            progress.finish()
    return console.OK


def _results(pipeline: Pipeline, arguments: argparse.Namespace, lines: list[shapes.Shape], zones: list[shapes.Shape]):  # type: ignore[no-untyped-def]
    return pipeline.watch(
        arguments.source,
        arguments.threshold,
        classes=arguments.classes,
        iou=arguments.iou,
        agnostic_nms=arguments.agnostic_nms or None,
        slice_infer=arguments.slice_infer,
        slice_size=arguments.slice_size,
        overlap_ratio=arguments.overlap_ratio,
        combine_method=arguments.combine_method,
        match_metric=arguments.match_metric,
        match_threshold=arguments.match_threshold,
        skip_still=arguments.skip_still,
        start=arguments.start,
        duration=arguments.duration,
        every=arguments.every,
        max_fps=arguments.max_fps,
        once=arguments.once,
        stall_timeout=arguments.stall_timeout,
        track=arguments.track,
        **{name: value for name in TRACKING if (value := getattr(arguments, name)) is not None},
        lines={line.name: [*line.points] for line in lines},
        zones={zone.name: [*zone.points] for zone in zones},
        on_note=_note,
    )


def _check_blur(pipeline: Pipeline, arguments: argparse.Namespace) -> None:
    """Refuse a class that the model does not have: nothing would be hidden.

    Raises:
        SodError: there is such a class, or the server does not list its classes.
    """
    if arguments.blur:
        models = pipeline.models()
        labels = [
            one.labels for one in models if (one.default if pipeline.model is None else one.name == pipeline.model)
        ]
        Filters.of(None, arguments.blur, None, agnostic_nms=False).class_ids(lambda: labels[0] if labels else ())


def _shapes(arguments: argparse.Namespace) -> tuple[list[shapes.Shape], list[shapes.Shape]]:
    lines, zones = [*shapes.lines(arguments.line)], [*shapes.zones(arguments.zone)]
    if arguments.shapes is not None:
        more_lines, more_zones = shapes.read_file(arguments.shapes)
        lines += more_lines
        zones += more_zones
    names = [shape.name for shape in (*lines, *zones)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidConfigError(f"two lines or zones have the name {twice[0]!r}")
    return lines, zones


def _note(sentence: str) -> None:
    with tqdm.external_write_mode(sys.stderr):
        console.print_error(f"note: {sentence}")


class _Progress:
    """What is shown on a terminal: frames, their rate, and what was dropped; and the totals at the end."""

    def __init__(self, *, is_hidden: bool) -> None:
        self._bar = tqdm(unit=" frames", disable=True if is_hidden else None, leave=False, dynamic_ncols=True)
        self._start = time.monotonic()
        self._frames = self._objects = 0
        self._dropped: dict[str, int] = {}
        self._slices: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, str] = {}

    def step(self, result: FrameResult) -> None:
        self._frames += 1
        self._objects += len(result.boxes)
        source = result.input_path or ""
        self._dropped[source] = result.dropped
        if result.slices is not None:
            self._slices[source] = result.slices
        for name, line in result.get("counts", {}).get("lines", {}).items():
            self._counts[f"{source}\0{name}"] = (
                f"{name}: in {sum(line['in'].values())}, out {sum(line['out'].values())}"
            )
        if not self._bar.disable:
            self._bar.set_postfix_str(
                f"{sum(self._dropped.values())} dropped, {len(result.boxes)} objects", refresh=False
            )
            self._bar.update()

    def paused(self) -> AbstractContextManager[None]:
        """Hide the bar while something else is printed."""
        return tqdm.external_write_mode(sys.stderr)

    def finish(self) -> None:
        """Close the bar and print the totals."""
        self._bar.close()
        seconds = time.monotonic() - self._start
        dropped = sum(self._dropped.values())
        parts = [f"{self._frames:,} frames in {seconds:.1f} s ({self._frames / max(seconds, 1e-3):.1f} in a second)"]
        parts += [f"{self._objects:,} objects"] + ([f"{dropped:,} frames dropped"] if dropped else [])
        if self._slices:
            sent, total = (sum(pair) for pair in zip(*self._slices.values(), strict=True))
            parts.append(f"{sent:,} of {total:,} slices sent")
        console.print_status("; ".join([", ".join(parts), *self._counts.values()]))

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
