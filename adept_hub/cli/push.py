"""``adept push``."""

from __future__ import annotations

import argparse
from pathlib import Path

from adept_hub.cli.output import print_json, print_table
from adept_hub.errors import DownloadError
from adept_hub.hub.endpoint import check_endpoint
from adept_hub.words.command_line import command_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a checkpoint folder, or a run with one in export/")
    parser.add_argument("repo", metavar="REPO", help="org/name on the Hub; created if need be")
    parser.add_argument("--private", action="store_true", help="only those whom the owner lets in may read it")
    parser.add_argument("--create-pr", action="store_true", help="propose the commit as a pull request")
    parser.add_argument("--revision", metavar="BRANCH", help="the branch, created if need be (default: main)")
    parser.add_argument("--message", default="", help="the commit's first line")
    parser.add_argument("--dry-run", action="store_true", help="say what would go up; no request is made")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Publish, and say what went up and how it is loaded."""
    check_endpoint(DownloadError)  # before the client is imported, which parses it
    from adept_hub.publish.push import push_to_hub

    published = push_to_hub(
        args.folder,
        args.repo,
        private=args.private,
        create_pr=args.create_pr,
        revision=args.revision,
        message=args.message,
        dry_run=args.dry_run,
    )
    if args.json:
        files = [{"path": path, "size": size} for path, size in published.files]
        print_json(
            {key: getattr(published, key) for key in ("repo", "url", "commit", "pull_request")} | {"files": files}
        )
        return 0
    print_table(("file", "bytes"), [(path, f"{size:,}") for path, size in published.files], right=frozenset({1}))
    if args.dry_run:
        print(f"\nNothing was sent. Publish it: {command_line('push', args.folder, args.repo)}")
    elif published.pull_request:
        print(f"\nProposed: {published.pull_request}")
    else:
        print(f"\n{published.url}\nadept_hub.load_pretrained({published.source!r}, num_classes=...)")
    return 0
