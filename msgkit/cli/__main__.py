"""`python -m msgkit.cli` is the command `msgkit`."""

import sys

from msgkit.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
