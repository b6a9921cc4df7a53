"""`python -m flairnb` is the command `flairnb`."""

import gc
import sys

from flairnb import __version__


def main() -> int:
    "The command; to say its version it needs no torch, which takes seconds to import"
    if sys.argv[1:] == ["--version"]:
        print(f"flairnb {__version__}")
        return 0
    gc.disable()  # the objects of a library that is imported live on in any case
    from flairnb import cli

    gc.freeze()  # and need not be looked through again at each collection
    gc.enable()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
