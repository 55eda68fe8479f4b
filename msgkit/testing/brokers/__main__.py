"""`python -m msgkit.testing.brokers` is the command for real brokers."""

import sys

from msgkit.testing.brokers.command import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
