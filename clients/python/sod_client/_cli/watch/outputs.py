"""Everything that `sod watch` writes."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from sod_client._cli import console
from sod_client._cli.watch.interruption import Interruption
from sod_client._results.files import visible
from sod_client._streams.counting.shapes import Shape
from sod_client._streams.outputs import text
from sod_client._streams.outputs.annotate import Annotator
from sod_client._streams.outputs.files import VIDEOS, check, of_source
from sod_client._streams.outputs.metrics import Metrics
from sod_client._streams.outputs.video import VideoWriter
from sod_client._streams.outputs.web import LOOPBACK, LivePage, WebServer, parse_address
from sod_client._streams.outputs.webhook import Webhook
from sod_client._streams.result import FrameResult
from sod_client._streams.sources.address import parse


class Outputs:
    """Writes each result to what the arguments name.

    Args:
        arguments: those of the command.
        lines: drawn in videos.
        zones: drawn in videos.
        report: receives a sentence.
        interruption: waits while files are written.

    Raises:
        SodError: an argument is invalid, or a server cannot listen.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        lines: Sequence[Shape],
        zones: Sequence[Shape],
        report: Callable[[str], object],
        interruption: Interruption,
    ) -> None:
        names = [parse(source).name for source in arguments.source]
        paths = [check(path) for path in arguments.save_path]
        self._interruption = interruption
        numbers = range(len(names))
        self._format = arguments.format or ("none" if sys.stdout.isatty() else "json")
        self._has_header = self._has_failed = False
        self._videos = {
            number: [
                VideoWriter(of_source(path, number, len(names)), arguments.segment)
                for path in paths
                if path.suffix.lower() in VIDEOS
            ]
            for number in numbers
        }
        self._texts: dict[int, list[text.TextWriter]] = {number: [] for number in numbers}
        for path in paths:
            if path.suffix.lower() == ".txt":
                for number in numbers:
                    self._texts[number].append(text.TextWriter(of_source(path, number, len(names)), arguments.segment))
            elif path.suffix.lower() not in VIDEOS:
                shared = text.TextWriter(path, arguments.segment)
                for number in numbers:
                    self._texts[number].append(shared)
        self._annotators = {number: Annotator(lines, zones, arguments.blur) for number in numbers}
        self._events = None if arguments.events is None else text.LineFile(Path(arguments.events), arguments.segment)
        self._metrics = None if arguments.metrics is None else Metrics()
        self._page = LivePage(names) if arguments.show else None
        self._servers: list[WebServer] = []
        self._webhook = None if arguments.webhook is None else Webhook(arguments.webhook, report)
        if self._metrics is not None:
            server = WebServer(parse_address(arguments.metrics), {"/metrics": self._metrics.answer})
            self._servers.append(server)
            console.print_error(f"the metrics are at {server.url}/metrics")
        if self._page is not None:
            server = WebServer((LOOPBACK, arguments.show_port), self._page.paths())
            self._servers.append(server)
            console.print_error(f"the frames are shown at {server.url}")

    def write(self, result: FrameResult) -> None:
        """Write a result.

        Raises:
            OSError: a file cannot be written.
            SodError: the image of a folder can no longer be read.
        """
        try:
            with self._interruption.waits():
                self._write(result)
            self._print(result)  # it may wait for the reader of a pipe, which Ctrl-C must end
        except OSError:
            self._has_failed = True
            raise

    def _write(self, result: FrameResult) -> None:
        number = result.frame.item.index
        for writer in self._texts[number]:
            writer.write(result)
        if self._videos[number] or self._page is not None:
            image = self._annotators[number].draw(result)
            for video in self._videos[number]:
                video.write(image, result.time)
            if self._page is not None:
                self._page.show(number, image)
        for event in result.events:
            if self._events is not None:
                self._events.write(text.to_line(event), result.time)
            if self._webhook is not None:
                self._webhook.send(event)
        if self._metrics is not None:
            self._metrics.update(result)

    def close(self) -> int:
        """End all files; returns an exit code, 0 if all could be written."""
        code = console.OK
        closes = [one.close for videos in self._videos.values() for one in videos]
        closes += [one.close for one in {id(one): one for texts in self._texts.values() for one in texts}.values()]
        closes += [self._events.close] if self._events is not None else []
        with self._interruption.waits():
            for close in closes:
                try:
                    close()
                except OSError as error:
                    if not self._has_failed:  # or else it was reported
                        console.print_error(unwritten(error))
                    code = console.FAILED
        if self._webhook is not None:
            self._webhook.close()
        if self._page is not None:
            self._page.close()
        for server in self._servers:
            server.close()
        return code

    def _print(self, result: FrameResult) -> None:
        if self._format == "none":
            return
        if self._format == "text":
            counts = Counter(box["label"] for box in result.boxes)
            found = ", ".join(f"{count} {label}" for label, count in counts.items()) or "no objects"
            line = f"{visible(result.input_path or '')} {result.time:.2f} s, frame {result['frame']}: {found}\n"
        elif self._format == "csv":
            line = ("" if self._has_header else ",".join(text.COLUMNS) + "\n") + text.csv_lines(result)
            self._has_header = True
        else:
            line = text.json_line(result)
        sys.stdout.write(line)
        sys.stdout.flush()


def unwritten(error: OSError) -> str:
    """Which file could not be written, and why; stdout has no name."""
    return f"{error.filename or 'the output'} cannot be written: {error.strerror or error}"
