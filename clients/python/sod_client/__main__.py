"""Runs the command `sod` with `python -m sod_client`."""

import sys

from sod_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
