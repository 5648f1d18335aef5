"""``adept verify``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from adept_hub.cli.output import print_json, print_table
from adept_hub.errors import AdeptError, DownloadError
from adept_hub.registry import list_models, registry, registry_files


@dataclass(frozen=True)
class _Outcome:
    source: str
    state: str
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="names, hf-hub:, folders (default: all published that are here)"
    )
    parser.add_argument(
        "--registries",
        action="store_true",
        help="list the registry files that were checked, also ADEPT_REGISTRY's",
    )
    parser.add_argument("--cache-dir", help="where downloads are kept (default: huggingface_hub's cache)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Read every byte again, compare it with the promised digest, and say which files are not what they should be."""
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
        print("Nothing is published yet, so there is nothing to verify. A folder of yours: adept verify DIR")
    missing_matters = bool(args.sources)
    return int(any(o.state == "BAD" or (o.state == "not here" and missing_matters) for o in outcomes))


def _verify(source: str, cache_dir: str | None) -> _Outcome:
    from adept_hub.checkpoint.folder import WEIGHTS, read_tensors
    from adept_hub.hub.fetch import FetchOptions, fetch
    from adept_hub.io.digest import verify

    try:
        fetched = fetch(source, FetchOptions(cache_dir=cache_dir, offline=True))
        verify(fetched.folder / WEIGHTS, fetched.config.sha256, fetched.config.size, force=True)
        read_tensors(fetched.folder, fetched.config)
    except DownloadError:
        return _Outcome(source, "not here", "not in the cache; adept pull fetches and verifies it")
    except AdeptError as error:
        return _Outcome(source, "BAD", " ".join(str(error).split()))
    return _Outcome(source, "good", f"{fetched.config.sha256[:16]}..., {fetched.config.size:,} bytes")
