"""``adept doctor``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from adept_hub.cli.output import print_json
from adept_hub.errors import SourceError
from adept_hub.io.paths import is_file as is_regular
from adept_hub.io.paths import not_a
from adept_hub.names import split_layout
from adept_hub.spec import FRAMEWORKS
from adept_hub.words.command_line import command_line

DEFAULT = "adept_joint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "what",
        metavar="SOURCE|FILE",
        help="a checkpoint, to check stock defaults, or your own config or weights file",
    )
    parser.add_argument("--target", required=True, choices=FRAMEWORKS, metavar="FRAMEWORK", help=", ".join(FRAMEWORKS))
    parser.add_argument(
        "--weights",
        default=DEFAULT,
        metavar="SOURCE",
        help="with FILE: the checkpoint to check it against (default: %(default)s)",
    )
    parser.add_argument(
        "--run-config",
        action="store_true",
        help="execute FILE if it is a Python config, the only way to read one; .yaml and .json are never executed",
    )
    parser.add_argument("--offline", action="store_true", default=None, help="make no request")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print every disagreement with its remedy; return 1 if any is an error, 0 if all are warnings."""
    from adept_hub.hub.fetch import FetchOptions, fetch

    path = Path(args.what)
    is_file = is_regular(path)
    has_layout = split_layout(args.what, None)[1] is not None
    if (
        not is_file
        and not has_layout
        and path.suffix in (".yaml", ".yml", ".py", ".json", ".pth", ".pt", ".pkl", ".safetensors")
    ):
        raise SourceError(f"{not_a('a file', path)}\nPass a config or weights file, or a checkpoint: adept list")
    source = args.weights if is_file else args.what
    config = fetch(source, FetchOptions(offline=args.offline)).config
    from adept_hub.doctor import diagnose_file, diagnose_stock  # imports torch

    if is_file:
        findings = diagnose_file(path, config, args.target, run_config=args.run_config)
    else:
        findings = diagnose_stock(config, args.target)
    errors = sum(finding.severity == "error" for finding in findings)
    if args.json:
        counts = {"errors": errors, "warnings": len(findings) - errors}
        rows = [dataclasses.asdict(finding) for finding in findings]
        print_json({"checkpoint": config.name, **counts, "findings": rows})
        return int(errors > 0)
    subject = f"{path}" if is_file else f"stock {args.target}"
    print(f"{config.name} in {subject}: {errors} errors, {len(findings) - errors} warnings")
    for finding in findings:
        print(f"\n{finding.severity}: {finding.code}\n  has     {finding.actual}\n  needs   {finding.expected}")
        print(f"  remedy  {finding.remedy}")
    if findings:
        remedy = command_line("export", source, "--to", args.target, "--out", args.target)
        print(f"\nTo get a config without these disagreements: {remedy}")
    return int(errors > 0)
