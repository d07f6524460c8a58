"""`sod watch`: its options."""

import argparse

from sod_client._cli import console, options, server_address, values
from sod_client._cli.watch.values import duration, positive_duration
from sod_client._config import PIPELINE
from sod_client._streams.tracking.options import EXPAND, LOST_S, MATCH_IOU

FORMATS = ("text", "json", "csv", "none")
_EXIT_CODES = """\
exit codes:
  0    every source ended, and everything was written
  1    a source could not be read, or a file could not be written; what was written before is whole
  2    the command line is invalid; nothing was sent
  3    the server did not respond, was overloaded or refused the API key, or the local server did not start
  130  interrupted by Ctrl-C or SIGTERM; what was written is whole
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "watch",
        help="detect, track and count objects in videos, cameras and filling folders",
        description="Detect objects in every frame of a video file, in the newest frames of a camera or stream, and\n"
        "in each image that is added to a folder. Track them, count them, and write videos, text, events and metrics.",
        epilog=f"{server_address.RULE}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="+",
        help="a video file; an rtsp, rtmp, http(s), srt, udp or tcp URL; a camera (0 or /dev/video0); or a folder that "
        "fills with images",
    )
    _add_frames(parser.add_argument_group("frames"))
    _add_tracking(parser.add_argument_group("tracking and counting"))
    _add_outputs(parser.add_argument_group("output"))
    options.add_pipeline(parser, PIPELINE)
    options.add_server(parser)
    _add_request(parser)
    options.add_local_server(parser)


def _add_frames(group: options.OptionGroup) -> None:
    group.add_argument("--start", type=duration, default=0.0, metavar="TIME", help="leave out the first 90s, 1.5m, …")
    group.add_argument("--duration", type=positive_duration, metavar="TIME", help="end after so much time")
    group.add_argument(
        "--every", type=values.at_least_one, default=1, metavar="N", help="use every N-th frame (default: 1)"
    )
    group.add_argument(
        "--max_fps", type=values.positive, metavar="F", help="use at most F frames in a second of the source"
    )
    group.add_argument(
        "--once", action="store_true", help="end with a stream that ends, rather than connect again; of a folder, read "
        "only the images that are there"
    )  # fmt: skip
    group.add_argument(
        "--stall_timeout",
        type=values.seconds,
        default=5.0,
        metavar="SECONDS",
        help="connect a stream again after so many seconds without data (default: %(default)g)",
    )


def _add_tracking(group: options.OptionGroup) -> None:
    group.add_argument("--track", action="store_true", help="give each object an id that it keeps (ByteTrack)")
    group.add_argument(
        "--match_iou",
        type=values.share,
        metavar="T",
        help=f"a box continues a track from this IoU on, both boxes expanded (default: {MATCH_IOU:g})",
    )
    group.add_argument(
        "--expand",
        type=float,
        metavar="S",
        help="expand boxes by this share of their size on every side before they are compared; more for smaller or "
        f"faster objects and fewer frames in a second (default: {EXPAND:g})",
    )
    group.add_argument(
        "--lost_after",
        type=values.seconds,
        metavar="SECONDS",
        help=f"an object that is hidden for no longer keeps its id (default: {LOST_S:g})",
    )
    group.add_argument(
        "--line",
        action="append",
        metavar="[NAME=]X1,Y1,X2,Y2",
        help="count the objects that cross this line, by direction and class; may be repeated; tracks",
    )
    group.add_argument(
        "--zone",
        action="append",
        metavar="[NAME=]X1,Y1,X2,Y2,X3,Y3,…",
        help="count the objects inside this polygon, and how long they stay; may be repeated; tracks",
    )
    group.add_argument(
        "--shapes",
        metavar="FILE",
        help='lines and zones by name in a JSON file: {"lines": {"north": [0, 200, 640, 200]}, "zones": {…}}',
    )


def _add_outputs(group: options.OptionGroup) -> None:
    group.add_argument(
        "--save_path",
        "--save-path",
        action="append",
        default=[],
        metavar="FILE",
        help="file to write, may be repeated: .mp4 or .mkv, the video with boxes, trails and counters (H.264); .jsonl, "
        "one line of JSON for each frame; .csv, one line for each object; .txt, MOTChallenge's text. Of several "
        "sources, the videos and the .txt get _1, _2, …",
    )
    group.add_argument(
        "--segment", type=positive_duration, metavar="TIME", help="begin new files after 10m, 1h, …; named by UTC"
    )
    group.add_argument("--events", metavar="FILE", help="JSON Lines of crossings, entering, leaving and interruptions")
    group.add_argument("--webhook", metavar="URL", help="POST each event to this URL, too")
    group.add_argument(
        "--metrics",
        metavar="[HOST]:PORT",
        help="serve Prometheus's metrics at /metrics; without HOST only to this machine",
    )
    group.add_argument(
        "--show", action="store_true", help="show the frames on a page, to this machine only; its address is printed"
    )
    group.add_argument(
        "--show_port", type=values.port, default=0, metavar="PORT", help="port of that page (default: a free one)"
    )
    group.add_argument(
        "--blur",
        type=values.classes,
        default=[],
        metavar="C",
        help="make objects of these classes unrecognisable in videos and on the page, such as pedestrian,people",
    )
    group.add_argument(
        "--format",
        choices=FORMATS,
        help="what to print for each frame: text one line, json one line, csv one line for each object (default: none "
        "on a terminal, otherwise json)",
    )
    group.add_argument("--no_progress", action="store_true", help="show no progress on a terminal")


def _add_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request")
    options.add_request(group, of_files=False)
    options.add_slices(group, of_files=False)
    group.add_argument(
        "--skip_still",
        action="store_true",
        help="with --slice_infer and a camera that does not move: send only the slices whose pixels changed, and keep "
        "the last answer for the others",
    )


def _run(arguments: argparse.Namespace) -> int:
    from sod_client._cli.watch.run import run  # noqa: PLC0415 - only this command needs what writes videos

    try:
        return run(arguments)
    except KeyboardInterrupt:
        return console.INTERRUPTED
