"""``adept card``."""

from __future__ import annotations

import argparse
from pathlib import Path

from adept_hub.arguments.existing import check_source
from adept_hub.cli.pull import add_source
from adept_hub.errors import SourceError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser, optional=True)
    parser.add_argument("--write", action="store_true", help="write the card as README.md into the folder SOURCE")
    parser.add_argument(
        "--all",
        type=Path,
        metavar="DIR",
        help="write the cards of all bundled checkpoints into DIR (default: print that of SOURCE)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="with --all: write the registry's tables into DIR (default: write none)",
    )


def run(args: argparse.Namespace) -> int:
    """Print a checkpoint's card, or write cards."""
    check_source(args.source)
    from adept_hub.cards.card import render_card, write_card
    from adept_hub.cards.measurements import with_measurements
    from adept_hub.hub.fetch import FetchOptions, fetch
    from adept_hub.names import HubSource, LocalSource, NamedSource, parse_source, text_of

    if args.all is not None:
        return _all(args.all, args.results)
    if args.source is None:
        raise SourceError("Specify a SOURCE or --all DIR.\nEvery name: adept list")
    fetched = fetch(args.source, FetchOptions(args.revision, args.cache_dir, args.offline))
    config = with_measurements(fetched.config, fetched.folder)
    parsed = parse_source(args.source)
    # A name stays the checkpoint's own: the source may be an alias, which stands for another one some day.
    source = {LocalSource: fetched.origin, NamedSource: ""}.get(type(parsed), text_of(parsed))
    if isinstance(parsed, HubSource):
        source = text_of(HubSource(parsed.repo, args.revision or parsed.revision))
    if args.write:
        print(write_card(fetched.folder, config, source=source))
    else:
        print(render_card(config, source=source), end="")
    return 0


def _all(cards: Path, results: Path | None) -> int:
    from adept_hub.cards.published import write_cards, write_results

    for path in [*write_cards(cards), *(write_results(results) if results else [])]:
        print(path)
    return 0
