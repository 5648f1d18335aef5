"""``adept verify``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from adept_hub.cli.output import print_json, print_table
from adept_hub.errors import AdeptError, DownloadError
from adept_hub.registry import list_models, registry, registry_files
from adept_hub.words.command_line import command_line


@dataclass(frozen=True)
class _Outcome:
    source: str
    state: str
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="names, hf-hub:, folders (default: all published models that are cached)",
    )
    parser.add_argument(
        "--registries",
        action="store_true",
        help="also print the checked registry files, including those of ADEPT_REGISTRY",
    )
    parser.add_argument("--cache-dir", help="folder for downloads (default: huggingface_hub's cache)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Read all files again, compare them with their digests, and print the result for each checkpoint."""
    if args.registries:
        names = ", ".join(path.name for path, _ in registry_files())
        if not args.json:
            print(f"{len(registry()):,} entries of {names} are valid")
    outcomes = [_verify(source, args.cache_dir) for source in args.sources or list_models(pretrained=True)]
    if args.json:
        print_json([vars(outcome) for outcome in outcomes])
    elif outcomes:
        print_table(("source", "state", "what"), [(o.source, o.state, o.detail) for o in outcomes])
    else:
        print("Nothing is published yet, so there is nothing to verify. To verify a folder: adept verify DIR")
    missing_matters = bool(args.sources)
    return int(any(o.state == "FAILED" or (o.state == "not cached" and missing_matters) for o in outcomes))


def _verify(source: str, cache_dir: str | None) -> _Outcome:
    from adept_hub.checkpoint.folder import WEIGHTS, read_tensors
    from adept_hub.hub.fetch import FetchOptions, fetch
    from adept_hub.io.digest import verify

    try:
        fetched = fetch(source, FetchOptions(cache_dir=cache_dir, offline=True))
        verify(fetched.folder / WEIGHTS, fetched.config.sha256, fetched.config.size, force=True)
        read_tensors(fetched.folder, fetched.config)
    except DownloadError:
        return _Outcome(source, "not cached", f"To download and verify it: {command_line('pull', source)}")
    except AdeptError as error:
        return _Outcome(source, "FAILED", " ".join(str(error).split()))
    return _Outcome(source, "OK", f"{fetched.config.sha256[:16]}..., {fetched.config.size:,} bytes")
