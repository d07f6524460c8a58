"""`python -m sod_client`: the `sod` command."""

import sys

from sod_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
