# /// script
# requires-python = ">=3.11"
# dependencies = ["adept-hub[train] @ git+https://github.com/org/adept"]
# ///
"""Pre-train on your own images on a rented GPU, and push the weights to the Hub.

The images lie in a data set repository: a folder of images, or WebDataset shards in one.

    hf jobs uv run --flavor a10g-small --timeout 2h --secrets HF_TOKEN \
        training/jobs/own_images.py ORG/IMAGES ORG/MODEL --minutes 60 --license apache-2.0

It runs on any other machine, too (`uv run training/jobs/own_images.py ...`), and IMAGES may be a local folder there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import adept_hub
import adept_training
from adept_hub.errors import AdeptError


def main() -> int:
    """Download, pre-train, push."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", metavar="IMAGES", help="a local folder, or a data set repository: ORG/NAME")
    parser.add_argument("model", metavar="MODEL", help="the repository to push to: ORG/NAME")
    parser.add_argument("--recipe", default="own_photos_detection", help="bundled recipe (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="limit of the pre-training; the job's own limit must be longer")
    parser.add_argument("--license", default="unstated", help="license of the weights, such as apache-2.0")
    parser.add_argument("--out", default="runs/own_images", help="run folder (default: %(default)s)")
    parser.add_argument("--public", action="store_true", help="push to a public repository; default: a private one")
    parser.add_argument("--no-push", action="store_true", help="only list what would be pushed")
    args = parser.parse_args()
    folder = args.images if Path(args.images).is_dir() else _download(args.images)
    try:
        result = adept_training.pretrain(
            folder, args.out, recipe=args.recipe, minutes=args.minutes, license=args.license, stream=sys.stdout
        )
        if result.interrupted:
            sys.stderr.write(
                f"the job's limit ended the run after {result.steps} steps: give --minutes a lower value\n"
            )
            return 1
        pushed = adept_hub.push_to_hub(
            Path(args.out) / "export", args.model, private=not args.public, dry_run=args.no_push
        )
    except AdeptError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    listed = "would be pushed to" if args.no_push else "pushed; load them with"
    sys.stdout.write(f"{len(pushed.files)} files {listed} {pushed.source!r}\n")
    return 0


def _download(repo: str) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(repo, repo_type="dataset")


if __name__ == "__main__":
    sys.exit(main())
