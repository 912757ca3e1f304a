"""Compare with the official operators: ``python -m bench.peers``; options as of :mod:`bench.peers.run`."""

from __future__ import annotations

import sys

from bench.peers import environment


def main() -> int:
    """Make the environment if there is none, and return the exit code of the comparison in it."""
    return environment.make() or environment.run("-m", "bench.peers.run", *sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
