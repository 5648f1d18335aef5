"""``adept push``."""

from __future__ import annotations

import argparse
from pathlib import Path

from adept_hub.arguments.existing import check_folder
from adept_hub.cli.output import print_json, print_table
from adept_hub.errors import DownloadError
from adept_hub.hub.endpoint import check_endpoint
from adept_hub.words.command_line import command_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a checkpoint folder, or a run with one in export/")
    parser.add_argument("repo", metavar="REPO", help="org/name on the Hub; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request with the commit")
    parser.add_argument("--revision", metavar="BRANCH", help="branch; created if it does not exist (default: main)")
    parser.add_argument("--message", default="", help="first line of the commit message (default: Publish NAME)")
    parser.add_argument(
        "--license",
        metavar="L",
        help="license of what is published, such as apache-2.0; DIR is not changed (default: that of the checkpoint)",
    )
    parser.add_argument("--relicense", action="store_true", help="claim the right to grant a more permissive license")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be uploaded; no request is made")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Publish, and print what was uploaded and how to load it."""
    check_folder(args.folder)
    check_endpoint(DownloadError)  # before the client, which parses it, is imported
    from adept_hub.publish.push import push_to_hub

    published = push_to_hub(
        args.folder,
        args.repo,
        private=args.private,
        create_pr=args.create_pr,
        revision=args.revision,
        message=args.message,
        license=args.license,
        relicense=args.relicense,
        dry_run=args.dry_run,
    )
    if args.json:
        files = [{"path": path, "size": size} for path, size in published.files]
        print_json(
            {key: getattr(published, key) for key in ("repo", "url", "commit", "pull_request", "not_published")}
            | {"files": files}
        )
        return 0
    print_table(("file", "bytes"), [(path, f"{size:,}") for path, size in published.files], right=frozenset({1}))
    if published.not_published:
        deploy = command_line("deploy", args.folder, "--to", "torchvision", "--out", "DIR")
        print(
            f"\nNot published: the fine-tuned predictors and class names ({', '.join(published.not_published)}).\n"
            f"To use the whole detector elsewhere: {deploy}"
        )
    if args.dry_run:
        print(f"\nNothing was uploaded. To publish it: {_command(args)}")
    elif published.pull_request:
        print(f"\nPull request: {published.pull_request}")
    else:
        print(f"\n{published.url}\nadept_hub.load_pretrained({published.source!r}, num_classes=...)")
    return 0


def _command(args: argparse.Namespace) -> str:
    """Return the command without ``--dry-run`` and ``--json``."""
    words: list[object] = ["push", args.folder, args.repo]
    for option, value in (("--revision", args.revision), ("--message", args.message), ("--license", args.license)):
        words += [option, value] if value not in (None, "") else []
    flags = {"--private": args.private, "--create-pr": args.create_pr, "--relicense": args.relicense}
    return command_line(*words, *(option for option, given in flags.items() if given))
