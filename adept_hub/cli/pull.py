"""``adept pull``."""

from __future__ import annotations

import argparse

from adept_hub.arguments.existing import check_source
from adept_hub.cli.output import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    parser.add_argument("--force", action="store_true", help="download again what is already cached")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_source(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Declare SOURCE and the options of all commands that download."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?" if optional else None,
        help="a name, hf-hub:org/repo[@revision], LAYOUT:FILE, local-dir:PATH, a checkpoint folder or a run"
        + " (default: none)" * optional,
    )
    parser.add_argument("--revision", help="branch, tag or commit on the Hub (default: its main branch)")
    parser.add_argument("--cache-dir", help="folder for downloads (default: huggingface_hub's cache)")
    parser.add_argument("--offline", action="store_true", default=None, help="make no request")


def run(args: argparse.Namespace) -> int:
    """Fetch, verify all bytes, and print the folder."""
    check_source(args.source)
    from adept_hub.checkpoint.folder import WEIGHTS, read_tensors
    from adept_hub.hub.fetch import FetchOptions, fetch
    from adept_hub.io.digest import verify

    fetched = fetch(args.source, FetchOptions(args.revision, args.cache_dir, args.offline, force=args.force))
    verify(fetched.folder / WEIGHTS, fetched.config.sha256, fetched.config.size, force=True)
    tensors = read_tensors(fetched.folder, fetched.config)
    if args.json:
        print_json({"name": fetched.config.name, "folder": str(fetched.folder), "sha256": fetched.config.sha256})
    else:
        print(f"{fetched.config.name}: {len(tensors)} tensors, {fetched.config.size:,} bytes, digest verified")
        print(fetched.folder)
    return 0
