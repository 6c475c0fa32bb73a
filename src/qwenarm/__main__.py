"""``python -m qwenarm`` is the command line."""

import sys

from qwenarm.cli.main import main

if __name__ == "__main__":  # a spawned worker imports this file, too
    sys.exit(main())
