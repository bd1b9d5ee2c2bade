"""The command line: parse, call one function, print."""

from __future__ import annotations


def main() -> None:
    """Run the `featurestore` command: exit 0 done, 1 refused by a gate, 2 wrong usage or wrong input."""
    from featurestore.cli.app import run

    run()
