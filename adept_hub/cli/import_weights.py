"""``adept import``."""

from __future__ import annotations

import argparse
from pathlib import Path

from adept_hub.arguments.existing import check_weights_file
from adept_hub.cli.output import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="another project's .pth or .safetensors, or LAYOUT:FILE"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    parser.add_argument(
        "--layout",
        metavar="L",
        help="layout of the file: torchvision-detector, soco, aligndet, moco, swav, ... (default: recognized by names)",
    )
    parser.add_argument(
        "--mean", nargs=3, type=float, metavar="X", help="mean of RGB in [0, 1] (default: the layout's)"
    )
    parser.add_argument("--std", nargs=3, type=float, metavar="X", help="std of RGB in [0, 1] (default: the layout's)")
    parser.add_argument("--name", help="name of the checkpoint, architecture.tag (default: LAYOUT_rDEPTH.imported)")
    parser.add_argument(
        "--data", metavar="TEXT", help="training data, for the card (default: the layout's, or unknown)"
    )
    parser.add_argument(
        "--license", metavar="TEXT", help="license of the weights, for the card (default: the layout's, or unknown)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint folder and print its content."""
    check_weights_file(str(args.file))
    from adept_hub.checkpoint.state_files import read_state
    from adept_hub.foreign.classes import check_classes
    from adept_hub.foreign.detectors import published_layout
    from adept_hub.foreign.import_weights import FOREIGN_LAYOUTS, check_layout, recognize_layout
    from adept_hub.foreign.write import ForeignFacts, write_imported
    from adept_hub.io.digest import sha256_file
    from adept_hub.models.contract import expected_tensors, part_of
    from adept_hub.names import split_layout
    from adept_hub.spec import Preprocessing, Start

    file, stated = split_layout(args.file, args.layout)
    if stated is not None:
        check_layout(stated)
    state, digest = read_state(file), sha256_file(file)
    layout = stated or published_layout(digest) or recognize_layout(state)
    if args.data is None or args.license is None:
        check_classes(state, layout, file)
    definition = FOREIGN_LAYOUTS[layout]
    own = definition.preprocessing
    pixels = Preprocessing(mean=tuple(args.mean or own.mean), std=tuple(args.std or own.std))
    license_name = definition.license if args.license is None else args.license
    start = Start(file.name, digest, license_name)
    config = write_imported(
        args.out, state, ForeignFacts(layout, start, pixels, args.name or "", data=args.data), str(file)
    )
    spec = config.spec
    tensors = sum(part_of(key) in config.parts for key in expected_tensors(spec))
    left = len(state) - tensors
    if args.json:
        print_json({
            "name": config.name, "layout": layout, "parts": list(config.parts), "tensors": tensors,
            "architecture": list(spec.differences()), "labeled": definition.labeled, "license": license_name,
        })  # fmt: skip
        return 0
    print(f"{config.name}: {tensors} tensors of {', '.join(config.parts)} (layout {layout})")
    if left > 0:
        print(f"{left} tensors of other networks and heads were dropped, as listed in the layout")
    if definition.note:
        print(f"Note: {definition.note}")
    if definition.detector:
        if spec.backbone_norm == "frozen_bn" and definition.detector.frozen_note:
            print(f"Note: {definition.detector.frozen_note}")
        print(f"Architecture: {', '.join(spec.differences())}")
        print(f"Data: {config.provenance.data}; license: {license_name} (as published; if not: --data, --license)")
    print(f"Labels in training: {config.provenance.labels}")
    print(f"{args.out}\n\nNext: adept_hub.load_pretrained({str(args.out)!r}, parts={config.parts!r}, num_classes=...)")
    return 0
