"""A checkpoint's config becomes its model card; every figure on a card is one of the config's, none is typed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adept_hub.atomic import atomic_file
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec

_METHODS = {
    "adept_joint": "ADePT joint: object contrast trains backbone, FPN and RoI head; the RPN learns beside them",
    "adept_separate": "ADePT separate: the RPN was trained on a finished, frozen SoCo detector",
    "soco": "SoCo: object contrast trains backbone, FPN and RoI head; there is no RPN",
    "byol": "BYOL on whole images: the backbone alone",
    "scratch": "no pre-training: initial values",
}
_WHAT = {
    "backbone": "ResNet-{depth}, torchvision's layout, stride in the 3x3, batch norms",
    "fpn": "P2-P5, {fpn_channels} channels, batch norms after every lateral and output convolution",
    "rpn": "one 3x3 convolution with ReLU, {anchors_per_location} anchors a place",
    "head": "four 3x3 convolutions of {head_conv_channels} with batch norms, one fc of {head_fc_channels}",
}


def render_card(config: CheckpointConfig) -> str:
    """The model card (README.md) of a checkpoint: front matter for the Hub, then prose and tables."""
    from adept_hub.models.contract import expected_tensors, part_of

    sizes = dict.fromkeys(PARTS, (0, 0))
    for key, (shape, _) in expected_tensors(config.spec).items():
        count, values = sizes[part_of(key)]
        sizes[part_of(key)] = (count + 1, values + _product(shape))
    sections = [
        _front_matter(config),
        f"# {config.name}\n\n{_introduction(config)}",
        _use(config),
        "## Parts\n\n" + _table(("part", "what", "tensors", "values"), _part_rows(config, sizes)),
        _agreement(config),
        _training(config),
        _metrics(config),
        _LIMITS,
        _CITATION,
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def write_card(folder: Path, config: CheckpointConfig) -> Path:
    """Write the card into a checkpoint folder."""
    path = folder / "README.md"
    with atomic_file(path) as temporary:
        temporary.write_text(render_card(config), encoding="utf-8")
    return path


def _front_matter(config: CheckpointConfig) -> str:
    tags = ["object-detection", "self-supervised", "adept", config.provenance.method, f"resnet-{config.spec.depth}"]
    lines = ["---", "library_name: adept-hub", f"license: {config.licence}", "pipeline_tag: object-detection", "tags:"]
    return "\n".join([*lines, *(f"- {tag}" for tag in tags), "---"])


def _introduction(config: CheckpointConfig) -> str:
    p = config.provenance
    network = {"target": "target (momentum)", "online": "online", "none": "only"}[p.exported_network]
    return (
        f"Pre-trained parts of a two-stage detector ({', '.join(config.parts)}), made without any label.\n"
        f"{_METHODS.get(p.method, p.method)}. "
        f"Trained on {p.data} ({p.images:,} images) for {p.epochs:g} epochs; "
        f"the file holds the {network} network. "
        "It is a start for fine-tuning, not a detector: its class and box predictors do not exist yet."
    )


def _use(config: CheckpointConfig) -> str:
    name = config.name
    return f"""## Use

```python
import adept_hub

model = adept_hub.load_pretrained("{name}", num_classes=21)  # torchvision, ready to fine-tune
print(model.load_report)
```

```bash
adept export {name} --to detectron2 --out out_d2       # weights and config.yaml
adept export {name} --to mmdet --out out_mmdet         # weights and config.py
adept export {name} --to torchvision --out out_tv      # weights and build_model.py
```

For a checkpoint that is not in the registry, give its folder or `hf-hub:org/repo` for the name."""


def _part_rows(config: CheckpointConfig, sizes: dict[str, tuple[int, int]]) -> list[tuple[str, ...]]:
    fields = {name: getattr(config.spec, name) for name in DetectorSpec.__dataclass_fields__}
    fields["anchors_per_location"] = config.spec.anchors_per_location
    rows = []
    for part in PARTS:
        held = part in config.parts
        count, values = sizes[part] if held else (0, 0)
        rows.append((part, _WHAT[part].format(**fields) if held else "not held", str(count), f"{values:,}"))
    return rows


def _agreement(config: CheckpointConfig) -> str:
    spec, pixels = config.spec, config.preprocessing
    return "## What a framework must agree with\n\n" + _table(
        ("setting", "value"),
        [
            ("channel order", pixels.channel_order.upper()),
            ("mean, std of RGB in [0, 1]", f"{_list(pixels.mean)}; {_list(pixels.std)}"),
            ("norms", "trainable batch norms in backbone, FPN and RoI head; none in the RPN"),
            ("anchors in pre-training", f"{_list(spec.anchors.sizes)} px on P2-P5, h/w {_list(spec.anchors.ratios)}"),
            ("anchors downstream", "32, 64, 128, 256, 512 px on P2-P6 unless you choose others"),
            ("boxes to levels in pre-training", f"sqrt(wh) up to {_list(spec.levels.upper)} px on P2-P5"),
            ("RoIAlign", f"{spec.ROI_SIZE}x{spec.ROI_SIZE}, aligned, adaptive sampling"),
        ],
    )


def _training(config: CheckpointConfig) -> str:
    p = config.provenance
    rows = [
        ("method", p.method),
        ("data", f"{p.data}, {p.images:,} images, no labels"),
        ("epochs", f"{p.epochs:g}"),
        ("hardware", p.trained_on or "not recorded"),
        (
            "proposals",
            ", ".join(f"{k} {v}" for k, v in sorted(p.proposals.items()) if not isinstance(v, dict)) or "none",
        ),
        ("recipe SHA-256", p.recipe_sha256 or "not recorded"),
        ("licence of the weights", config.licence),
        ("SHA-256 of the weights", config.sha256),
        ("stored as", config.stored_dtype),
    ]
    text = "## Training\n\n" + _table(("what", "value"), rows)
    if p.recipe:
        recipe = [(key, str(value)) for key, value in _flatten(p.recipe)]
        text += "\n\n<details><summary>The whole recipe</summary>\n\n" + _table(("field", "value"), recipe)
        text += "\n\n</details>"
    return text


def _metrics(config: CheckpointConfig) -> str:
    if not config.provenance.metrics:
        return "## Measurements\n\nNone yet. Figures of the paper are those of other weights and are not repeated here."
    rows = [
        (m.name, f"{m.value:g}", m.spread or "-", m.data, m.provenance, f"`{m.command}`" if m.command else "-")
        for m in config.provenance.metrics
    ]
    return "## Measurements\n\n" + _table(("metric", "value", "spread", "data", "provenance", "command"), rows)


_LIMITS = """## Limitations

- The paper reports gains in localisation and in recall with few labels, and more false positives than SoCo.
- It names darkness, overexposure and a domain unlike the pre-training photographs as cases of failure.
- Selective-search boxes are not objects: the RPN proposes regions, and its scores are not probabilities of objects.
- Photographs carry the biases of whoever collected them; so do the features."""

_CITATION = """## Citation

The method is ADePT (arXiv 2211.09022), on SoCo (arXiv 2106.02637). These weights are an independent reproduction."""


def _flatten(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, item in value.items():
        rows += _flatten(item, f"{prefix}{key}.") if isinstance(item, dict) else [(f"{prefix}{key}", item)]
    return rows


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows])
