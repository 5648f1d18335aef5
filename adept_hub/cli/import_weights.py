"""``adept import``."""

from __future__ import annotations

import argparse
from pathlib import Path

from adept_hub.cli.output import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="another project's .pth or .safetensors")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    parser.add_argument(
        "--layout",
        metavar="L",
        help="layout of the file: soco, aligndet, moco, swav, simclr, ... (default: recognized by names)",
    )
    parser.add_argument(
        "--mean", nargs=3, type=float, metavar="X", help="mean of RGB in [0, 1] (default: the layout's)"
    )
    parser.add_argument("--std", nargs=3, type=float, metavar="X", help="std of RGB in [0, 1] (default: the layout's)")
    parser.add_argument("--name", help="name of the checkpoint, architecture.tag (default: LAYOUT_rDEPTH.imported)")
    parser.add_argument("--data", default="unknown", metavar="TEXT", help="training data, for the card")
    parser.add_argument("--license", default="unknown", metavar="TEXT", help="license of the weights, for the card")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint folder and print its content."""
    from adept_hub.checkpoint.folder import write_checkpoint
    from adept_hub.checkpoint.state_files import read_state
    from adept_hub.foreign.import_weights import FOREIGN_LAYOUTS, import_layout, recognize_layout
    from adept_hub.io.digest import sha256_file
    from adept_hub.models.contract import part_of
    from adept_hub.spec import PARTS, Preprocessing, Provenance, Start

    state = read_state(args.file)
    layout = args.layout or recognize_layout(state)
    tensors, spec = import_layout(state, layout)
    held = {part_of(key) for key in tensors}
    provenance = Provenance(
        method=layout.partition("-")[0],
        data=args.data,
        images=0,
        epochs=0.0,
        exported_network=FOREIGN_LAYOUTS[layout].network,
        trained_on=f"imported from {args.file.name} (layout {layout})",
        notes=(FOREIGN_LAYOUTS[layout].note,) if FOREIGN_LAYOUTS[layout].note else (),
        starts=(Start(args.file.name, sha256_file(args.file), args.license),),
    )
    config = write_checkpoint(
        args.out,
        tensors,
        name=args.name or f"{layout.replace('-', '_')}_r{spec.depth}.imported",
        spec=spec,
        provenance=provenance,
        license=args.license,
        parts=tuple(part for part in PARTS if part in held),
        preprocessing=Preprocessing(
            mean=tuple(args.mean or FOREIGN_LAYOUTS[layout].preprocessing.mean),
            std=tuple(args.std or FOREIGN_LAYOUTS[layout].preprocessing.std),
        ),
    )
    left = len(state) - len(tensors)
    if args.json:
        print_json({"name": config.name, "layout": layout, "parts": list(config.parts), "tensors": len(tensors)})
        return 0
    print(f"{config.name}: {len(tensors)} tensors of {', '.join(config.parts)} (layout {layout})")
    if left > 0:
        print(f"{left} tensors of other networks and heads were dropped, as listed in the layout")
    if FOREIGN_LAYOUTS[layout].note:
        print(f"Note: {FOREIGN_LAYOUTS[layout].note}")
    print(f"{args.out}\n\nNext: adept_hub.load_pretrained({str(args.out)!r}, parts={config.parts!r}, num_classes=...)")
    return 0
