"""``adept info``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adept_hub.cards.architecture import describe_parts
from adept_hub.cli.output import print_json, print_table
from adept_hub.cli.pull import add_source
from adept_hub.io.schema import to_dict
from adept_hub.names import NamedSource, parse_source, split_name
from adept_hub.registry import ModelInfo, model_info
from adept_hub.registry.training import training_command
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec, Metric, Preprocessing
from adept_hub.words.command_line import command_line

if TYPE_CHECKING:
    from adept_hub.hub.fetch import Fetched

Rows = list[tuple[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print an entry of the registry, or the config of any other source."""
    if isinstance(parse_source(args.source), NamedSource) and args.revision is None:
        info = model_info(args.source)
        entry = to_dict(replace(info, base=None)) | {"architecture": info.architecture, "tag": info.tag}
        del entry["base"]
        entry["pretrained"] = info.pretrained
        rows, following = _registered(info), _next(info)
    else:
        from adept_hub.detectors.files import detector_details
        from adept_hub.hub.fetch import FetchOptions, fetch

        fetched = fetch(args.source, FetchOptions(args.revision, args.cache_dir, args.offline, weights=False))
        details = detector_details(fetched.folder)
        entry, rows = _entry(args.source, fetched, details), _checkpoint(fetched, details)
        following = _use(args.source, args.revision, fetched.config, details)
    if args.json:
        print_json(entry)
        return 0
    print_table(("field", "value"), rows)
    print(f"\n{following}")
    return 0


def _registered(info: ModelInfo) -> Rows:
    rows = [("name", info.name), ("summary", info.summary), ("method", info.method)]
    rows += _architecture(info.spec, info.preprocessing)
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
    return [*rows, *_metrics(info.metrics)]


def _checkpoint(fetched: Fetched, details: dict[str, Any]) -> Rows:
    config = fetched.config
    provenance = config.provenance
    counts = f": {provenance.images:,} images, {provenance.epochs:g} epochs" if provenance.images else ""
    rows = [("name", config.name), ("source", fetched.origin), ("method", provenance.method)]
    rows += _architecture(config.spec, config.preprocessing, config.parts)
    rows += [
        ("parts", ", ".join((*config.parts, *["class-agnostic box regressor"] * config.box_regressor))),
        ("weights", f"{config.size:,} bytes, {config.stored_dtype}, in {fetched.folder}"),
        ("sha256", config.sha256),
        ("trained on", f"{provenance.data}{counts}"),
        ("labels", provenance.labels),
        *(("started from", f"{start.name} ({start.license})") for start in reversed(provenance.starts)),
        ("license", config.license or "unstated"),
    ]
    if details:
        rows += [("detector", details["detector"]), ("classes", ", ".join(details["classes"]))]
    return [*rows, *_metrics(provenance.metrics)]


def _entry(source: str, fetched: Fetched, details: dict[str, Any]) -> dict[str, Any]:
    config = fetched.config
    architecture, tag = split_name(config.name)
    where = {"source": source, "origin": fetched.origin, "folder": str(fetched.folder)}
    return {**where, **to_dict(config), "architecture": architecture, "tag": tag, **details}


def _architecture(spec: DetectorSpec, pixels: Preprocessing, parts: tuple[str, ...] = PARTS) -> Rows:
    words, names = describe_parts(spec), {"fpn": "FPN", "rpn": "RPN", "head": "RoI head"}
    words["rpn"] += f", anchors {_numbers(spec.anchors.sizes)} px, h/w {_numbers(spec.anchors.ratios)}"
    return [
        *((names.get(part, part), words[part]) for part in parts),
        *([("differs in", ", ".join(other))] if (other := spec.differences()) else []),
        ("pixels", f"RGB in [0, 1], mean {_numbers(pixels.mean)}, std {_numbers(pixels.std)}"),
    ]


def _metrics(metrics: tuple[Metric, ...]) -> Rows:
    return [(f"{m.name} ({m.data})", f"{m.value:g} {m.spread} [{m.provenance}]") for m in metrics]


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


def _use(source: str, revision: str | None, config: CheckpointConfig, details: dict[str, Any]) -> str:
    """Return the calls that load a checkpoint, with the options that its parts and anchors need."""
    if details:
        return f"adept_hub.load_detector({source!r})"
    whole, at = config.parts == PARTS, "" if revision is None else f", revision={revision!r}"
    parts = "" if whole else f", parts={config.parts!r}"
    words = ["export", source, *([] if revision is None else ["--revision", revision]), "--to", "mmdet"]
    words += [] if whole else ["--parts", *config.parts]
    rounded = config.spec.anchors.generator == "rounded"  # only torchvision's are
    words += ["--anchors", "downstream"] if rounded else []
    return f"adept_hub.load_pretrained({source!r}{parts}{at}, num_classes=...)\n{command_line(*words, '--out', 'out')}"
