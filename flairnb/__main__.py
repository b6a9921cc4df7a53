"""`python -m flairnb` is the command `flairnb`."""

import sys

from flairnb import __version__


def main() -> int:
    "The command; to say its version it needs no torch, which takes seconds to import"
    if sys.argv[1:] == ["--version"]:
        print(f"flairnb {__version__}")
        return 0
    from flairnb import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
