"""``adept info``."""

from __future__ import annotations

import argparse
from dataclasses import replace

from adept_hub.cli.output import print_json, print_table
from adept_hub.io.schema import to_dict
from adept_hub.registry import ModelInfo, model_info
from adept_hub.registry.training import training_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a name of adept list")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print an entry of the registry."""
    info = model_info(args.name)
    if args.json:
        entry = to_dict(replace(info, base=None)) | {"architecture": info.architecture, "tag": info.tag}
        del entry["base"]
        print_json(entry | {"pretrained": info.pretrained})
        return 0
    print_table(("field", "value"), _rows(info))
    print(f"\n{_next(info)}")
    return 0


def _rows(info: ModelInfo) -> list[tuple[str, str]]:
    spec = info.spec
    rows = [
        ("name", info.name),
        ("summary", info.summary),
        ("method", info.method),
        ("backbone", f"ResNet-{spec.depth}, batch norms, stride in the 3x3"),
        ("FPN", f"P2-P5, {spec.fpn_channels} channels, batch norms"),
        ("RPN", f"one 3x3 convolution, anchors {_numbers(spec.anchors.sizes)} px, h/w {_numbers(spec.anchors.ratios)}"),
        ("RoI head", f"4 convolutions of {spec.head_conv_channels}, one fc of {spec.head_fc_channels}"),
        *([("differs in", ", ".join(other))] if (other := spec.differences()) else []),
    ]
    pixels = info.preprocessing
    rows.append(("pixels", f"RGB in [0, 1], mean {_numbers(pixels.mean)}, std {_numbers(pixels.std)}"))
    if not info.pretrained:
        return [*rows, ("weights", "not published")]
    location = info.location
    where = (
        "" if location is None else f"bundled ({location.bundled})" if location.bundled else f"hf-hub:{location.repo}"
    )
    rows += [
        ("weights", f"{info.size:,} bytes, {where}"),
        ("sha256", info.sha256),
        ("trained on", f"{info.data}: {info.images:,} images, {info.epochs:g} epochs"),
        ("license", info.license),
        ("aliases", ", ".join(info.aliases) or "-"),
    ]
    rows += [(f"{m.name} ({m.data})", f"{m.value:g} {m.spread} [{m.provenance}]") for m in info.metrics]
    return rows


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _next(info: ModelInfo) -> str:
    if info.pretrained:
        return (
            f'adept_hub.load_pretrained("{info.name}", num_classes=...)\nadept export {info.name} --to mmdet --out out'
        )
    before = ""
    if info.method == "adept_separate":
        before = f"First train the start: {training_command('soco', info.spec).replace('runs/mine', 'runs/soco')}\n"
    return f"{before}Train it: {training_command(info.method, info.spec)}"
