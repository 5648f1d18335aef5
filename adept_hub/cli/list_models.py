"""``adept list``."""

from __future__ import annotations

import argparse

from adept_hub.cli.output import print_json, print_table
from adept_hub.registry import list_models, model_info
from adept_hub.spec import METHODS
from adept_hub.words.command_line import command_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "filter", nargs="?", default="*", help="pattern of names, with * and ? as in a shell (default: all)"
    )
    parser.add_argument("--method", choices=METHODS, help="only models of this method (default: all)")
    parser.add_argument("--all", action="store_true", help="include architectures without published weights")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the models, those with weights first."""
    names = list_models(args.filter, method=args.method, pretrained=True)
    if args.all:
        names += list_models(args.filter, method=args.method)
    infos = [model_info(name) for name in names]
    if args.json:
        print_json([_row(name) for name in names])
        return 0
    rows = [
        (
            info.name,
            info.method,
            f"{info.size / 1e6:.1f}" if info.pretrained else "-",
            f"{info.images:,} images, {info.epochs:g} epochs" if info.pretrained else "no weights",
            info.license if info.pretrained else "",
            ", ".join(info.aliases),
        )
        for info in infos
    ]
    if rows:
        print_table(
            ("name", "method", "MB", "trained on", "license of the weights", "aliases"), rows, right=frozenset({2})
        )
    else:
        again = command_line("list", args.filter, "--all")
        print(f"No published weights match {args.filter!r}. Architectures: {again}")
    return 0


def _row(name: str) -> dict[str, object]:
    info = model_info(name)
    keys = ("name", "method", "pretrained", "size", "sha256", "images", "epochs", "license", "data", "aliases")
    return {key: getattr(info, key) for key in keys}
