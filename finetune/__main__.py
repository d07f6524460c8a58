"""`python -m finetune`."""

import sys

from finetune.command import main

sys.exit(main())
