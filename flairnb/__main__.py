"""`python -m flairnb` is the command `flairnb`."""

import sys

from flairnb.cli import main

if __name__ == "__main__":
    sys.exit(main())
