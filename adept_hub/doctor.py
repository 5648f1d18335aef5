"""Check a detector's config against a checkpoint and suggest a remedy, in the framework's terms, per disagreement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from adept_hub.arguments.calls import checked
from adept_hub.convert.facts import Facts
from adept_hub.convert.options import DOWNSTREAM_SIZES
from adept_hub.convert.plan import head_code, head_values, rpn_values
from adept_hub.convert.rescale_anchors import anchor_ratio
from adept_hub.frameworks import Framework, find_framework
from adept_hub.frameworks.read_facts import facts_of_file
from adept_hub.spec import CheckpointConfig, DetectorSpec
from adept_hub.words.sanitize import LONGEST_VALUE

#: Normalization values closer than this (0-255) are the same.
_PIXEL_TOLERANCE = 0.5


@dataclass(frozen=True)
class Finding:
    """One disagreement.

    Attributes:
        code: the topic, one word.
        severity: ``error``: the weights would not load, or would compute something else than they were trained for.
            ``warning``: they work, but not as in pre-training or in the published fine-tuning.
        actual: the detector's value.
        expected: the value that the weights need.
        remedy: what to change.
    """

    code: str
    severity: Literal["error", "warning"]
    actual: str
    expected: str
    remedy: str


@checked
def diagnose_stock(config: CheckpointConfig, framework: str) -> list[Finding]:
    """Check a framework's stock Faster R-CNN R50-FPN config against a checkpoint."""
    definition = find_framework(framework)
    return diagnose(definition.stock, config, definition)


@checked
def diagnose_file(path: Path, config: CheckpointConfig, framework: str, *, run_config: bool = False) -> list[Finding]:
    """Check a framework's config file, or the detector in a weights file, against a checkpoint.

    Args:
        path: a config or a weights file of the framework.
        config: the checkpoint's config.
        framework: one of `adept_hub.spec.FRAMEWORKS`.
        run_config: whether a Python config may be executed; ``.yaml`` and ``.json`` never are.

    Raises:
        CheckpointError: the file cannot be read, or is a Python config that may not be run.
        MissingExtraError: PyYAML is not installed.
        UnsupportedModelError: the weights are not those of a two-stage FPN detector.
    """
    definition = find_framework(framework)
    return diagnose(facts_of_file(path, definition, run_config=run_config), config, definition)


@checked
def diagnose(facts: Facts, config: CheckpointConfig, framework: Framework) -> list[Finding]:
    """Return every disagreement between a configured detector and a checkpoint, errors first."""
    spec, case = config.spec, _Case(facts, framework)
    findings = [
        *_pixels(case, config),
        *_backbone(case, spec),
        *_fpn(case, spec),
        *_rpn(case, spec),
        *_head(case, spec),
    ]
    return sorted(findings, key=lambda finding: finding.severity != "error")


class _Case(NamedTuple):
    facts: Facts
    framework: Framework


def _finding(
    case: _Case, code: str, severity: Literal["error", "warning"], actual: object, expected: object, **values: object
) -> Finding:
    has = str(actual)  # from the user's file, of any length
    short = has if len(has) <= LONGEST_VALUE else f"{has[: LONGEST_VALUE - 3]}..."
    return Finding(code, severity, short, str(expected), case.framework.remedy(code, **values))


def _pixels(case: _Case, config: CheckpointConfig) -> Iterator[Finding]:
    facts = case.facts
    if facts.channel_order not in (None, "rgb"):
        yield _finding(case, "channel_order", "error", facts.channel_order.upper(), "RGB")
    scale = case.framework.pixel_scale
    for name in ("mean", "std"):
        actual, expected = getattr(facts, name), getattr(config.preprocessing, name)
        if actual is None:
            continue
        if any(abs(a - 255 * b) > _PIXEL_TOLERANCE for a, b in zip(actual, expected, strict=True)):
            scaled = [round(scale * x, 4) for x in expected]
            yield _finding(case, name, "error", list(actual), [round(255 * x, 3) for x in expected], want=scaled)


def _backbone(case: _Case, spec: DetectorSpec) -> Iterator[Finding]:
    facts = case.facts
    if facts.depth not in (None, spec.depth):
        yield _finding(case, "depth", "error", f"ResNet-{facts.depth}", f"ResNet-{spec.depth}", want=spec.depth)
    if spec.depth >= 50 and facts.stride_in_1x1 not in (None, spec.stride_in_1x1):
        code = "stride_in_3x3" if spec.stride_in_1x1 else "stride_in_1x1"
        has, wants = (
            f"stride in the {'1x1' if x else '3x3'} convolution" for x in (not spec.stride_in_1x1, spec.stride_in_1x1)
        )
        yield _finding(case, code, "error", has, wants)
    if facts.backbone_norm in ("", "GN"):
        yield _finding(case, "backbone_norm", "error", facts.backbone_norm or "no norm", "batch norm")
    elif spec.backbone_norm == "bn" and (facts.backbone_norm == "FrozenBN" or facts.norm_eval):
        yield _finding(case, "frozen_norms", "warning", "frozen batch norms", "trainable batch norms")
    none_frozen = case.framework.none_frozen
    if facts.frozen_stages is not None and facts.frozen_stages > none_frozen:
        yield _finding(
            case, "frozen_stages", "warning", f"{facts.frozen_stages}", f"{none_frozen}: all stages are trained"
        )


def _norms(case: _Case, part: str, has: str | None, wants: str) -> Iterator[Finding]:
    if wants == "none" and has:
        yield _finding(case, f"{part}_no_norm", "error", has, "no norm")
    if wants != "none" and has in ("", "GN"):
        yield _finding(case, f"{part}_norm", "error", has or "no norm", "batch norm")


def _fpn(case: _Case, spec: DetectorSpec) -> Iterator[Finding]:
    facts = case.facts
    yield from _norms(case, "fpn", facts.fpn_norm, spec.fpn_norm)
    if facts.fpn_channels not in (None, spec.fpn_channels):
        yield _finding(case, "fpn_channels", "error", facts.fpn_channels, spec.fpn_channels, want=spec.fpn_channels)
    if facts.p6 not in (None, "pool"):
        yield _finding(case, "fpn_extra_convs", "error", f"P6 by {facts.p6}", "P6 pooled from P5")


def _rpn(case: _Case, spec: DetectorSpec) -> Iterator[Finding]:
    facts = case.facts
    if facts.rpn_convs not in (None, spec.rpn_convs):
        actual, wants = f"{facts.rpn_convs} convolution{'s' if facts.rpn_convs != 1 else ''}", ("one", "two")
        yield _finding(case, "rpn_convs", "error", actual, wants[spec.rpn_convs - 1], **rpn_values(spec))
    if facts.rpn_softmax:
        yield _finding(case, "rpn_softmax", "error", "two softmax logits per anchor", "one sigmoid logit")
    ratios = list(spec.anchors.ratios)
    if facts.anchor_ratios not in (None, spec.anchors.ratios):
        yield _finding(case, "anchors", "error", list(facts.anchor_ratios), ratios, ratios=ratios)
    sizes, expected = facts.anchor_sizes, spec.anchors.sizes
    if sizes is None:
        return
    if any(len(level) != 1 for level in sizes):
        yield _finding(
            case, "anchors", "error", f"{len(sizes[0])} sizes per level", "one size per level", ratios=ratios
        )
    elif any(abs(a[0] - b) > 1e-3 for a, b in zip(sizes, expected, strict=False)):
        whole = spec.anchors.with_p6
        has = [level[0] for level in sizes]
        # Rescaling the RPN's outputs to the framework's anchors needs the same factor on all levels.
        rescaled = "" if anchor_ratio(spec, DOWNSTREAM_SIZES) is None else ", or export with --anchors rescaled"
        yield _finding(case, "anchor_sizes", "warning", f"{has} px", f"{list(expected)} px on P2-P5",
                       want=case.framework.anchor_setting(whole), rescaled=rescaled)  # fmt: skip
    rounded = spec.anchors.generator == "rounded"
    if facts.anchors_rounded and not rounded:
        yield _finding(case, "anchors_rounded", "warning", "anchors rounded to pixels", "unrounded anchors")
    if facts.anchors_rounded is False and rounded:
        yield _finding(case, "anchors_unrounded", "warning", "unrounded anchors", "anchors rounded to pixels")


def _head(case: _Case, spec: DetectorSpec) -> Iterator[Finding]:
    facts = case.facts
    widths, code = head_values(spec), head_code(spec)
    shape, (convs, fcs) = (facts.head_convs, facts.head_fcs), spec.head_layers
    if None not in shape and shape != (convs, fcs):
        actual = f"{shape[0]} convolutions, {shape[1]} fc"
        yield _finding(case, code, "error", actual, f"{convs} convolutions, {fcs} fc", **widths)
    elif any(
        has not in (None, want)
        for has, want in (
            (facts.head_conv_channels, spec.head_conv_channels if convs else facts.head_conv_channels),
            (facts.head_fc_channels, spec.head_fc_channels),
        )
    ):
        own = f"{facts.head_conv_channels} and " if convs else "", f"{spec.head_conv_channels} and " if convs else ""
        actual, expected = f"{own[0]}{facts.head_fc_channels} wide", f"{own[1]}{spec.head_fc_channels} wide"
        yield _finding(case, code, "error", actual, expected, **widths)
    if convs:
        yield from _norms(case, "head", facts.head_norm, spec.head_norm)
    aligned = spec.pooling == "aligned"
    if facts.roi_aligned is (not aligned) or facts.roi_sampling not in (None, 0 if aligned else 2):
        actual = f"{'' if facts.roi_aligned else 'not '}aligned, sampling ratio {facts.roi_sampling}"
        expected = "aligned, adaptive sampling (0)" if aligned else "not aligned, sampling ratio 2"
        yield _finding(case, "roi_align" if aligned else "roi_unaligned", "warning", actual, expected)
    p4 = spec.levels.upper[1]
    if facts.p4_from is not None and abs(facts.p4_from - p4) > 1:
        actual, expected = f"P4 takes boxes from {facts.p4_from:g} px", f"P4 takes boxes from {p4:g} px"
        yield _finding(case, "levels", "warning", actual, expected, p4=p4, finest=p4 / 4)
