"""``adept card``."""

from __future__ import annotations

import argparse

from adept_hub.cli.pull import add_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)


def run(args: argparse.Namespace) -> int:
    """Print the card that the checkpoint's config gives."""
    from adept_hub.cards import render_card
    from adept_hub.fetch import FetchOptions, fetch

    fetched = fetch(args.source, FetchOptions(args.revision, args.cache_dir, args.offline))
    print(render_card(fetched.config), end="")
    return 0
