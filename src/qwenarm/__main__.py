"""``python -m qwenarm`` is the command line."""

import sys

from qwenarm.cli import main

sys.exit(main())
