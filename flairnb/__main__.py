"""`python -m flairnb` is the command `flairnb`."""

import gc
import sys

from flairnb.options import INTERRUPTED, parse


def main() -> int:
    "The command; torch, which takes seconds to import, waits until it has work to do"
    chosen = parse()
    gc.disable()  # the objects of a library that is imported live on in any case
    try:
        from flairnb import cli
    except KeyboardInterrupt:
        print("flairnb: interrupted", file=sys.stderr)
        return INTERRUPTED
    gc.freeze()  # and need not be looked through again at each collection
    gc.enable()
    return cli.carry_out(chosen)


if __name__ == "__main__":
    sys.exit(main())
