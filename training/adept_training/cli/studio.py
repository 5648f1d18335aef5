"""Implement ``adept studio``: look through boxes, views, objectness, detections, errors and runs on one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adept_hub.arguments.existing import check_source
from adept_hub.spec import DEVICES
from adept_training.images.sources import check_images

#: Images of each set in a page of one file.
_LIMIT = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    parser.add_argument(
        "sources", nargs="+", metavar="RUN|SOURCE",
        help="a run of pretrain or finetune, a folder of compare or proposals, or a source of weights",
    )  # fmt: skip
    parser.add_argument("--images", metavar="IMAGES", help="images to look at (default: those of the runs)")
    parser.add_argument(
        "--data", nargs="+", action="extend", metavar="DATA",
        help="labeled images: coco:ANN.json:IMAGE_DIR, voc:DIR, yolo:data.yaml, hf-datasets:NAME, or a YAML file "
        "(default: none)",
    )  # fmt: skip
    parser.add_argument("--split", choices=("train", "val", "test"), help="split of --data (default: test, else val)")
    parser.add_argument("--skip-damaged", action="store_true", help="leave damaged images and objects out")
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write the page as one file (default: serve it)")
    parser.add_argument("--limit", type=int, default=_LIMIT, metavar="N",
                        help="with --out: images of each set (default: %(default)s)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to run (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Serve the page until interrupted, or write it; return 0.

    Raises:
        AdeptError: a source, the images, the data or an option is invalid.
    """
    for one in args.sources:
        check_source(one)
    check_images(args.images)
    from adept_hub.errors import OptionValueError, OutputExistsError
    from adept_hub.words.command_line import command_line
    from adept_training.runtime.cpus import use_threads
    from adept_training.studio.answers import Answers
    from adept_training.studio.image_sets import open_sets
    from adept_training.studio.server import serving
    from adept_training.studio.single_file import write_page
    from adept_training.studio.sources import open_source

    if args.limit < 1:
        raise OptionValueError(f"--limit is {args.limit}; it must be at least 1.")
    if args.out is not None and args.out.exists():
        raise OutputExistsError(f"{args.out} exists.\nChoose another file, or remove it.")
    use_threads(0)
    sources = tuple(open_source(word) for word in args.sources)
    split = None
    if args.data is not None:
        from adept_training.labels.datasets import open_data

        split = open_data(args.data, skip_damaged=args.skip_damaged).split(args.split)
    sets = open_sets(sources, args.images, split)
    if args.out is not None:
        most = max((len(one) for one in sets), default=0)
        again = command_line("studio", *args.sources)
        limit = f"the first {args.limit} images of each set; all of them: {again}" if most > args.limit else ""
        answers = Answers(sources, tuple(one.first(args.limit) for one in sets), args.device, limit)
        size = write_page(answers, args.out)
        sys.stdout.write(f"Page: {args.out} ({size / 1e6:.1f} MB)\n")
        return 0
    with serving(Answers(sources, sets, args.device), args.port or 0) as server:
        sys.stdout.write(f"Page: {server.address}  (Ctrl-C ends it)\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")
    return 0
