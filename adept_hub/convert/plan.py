"""Map canonical tensors to a user's own model: all of every requested part, or an error that suggests a fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import chosen_parts
from adept_hub.convert.framework import Framework, Recognized
from adept_hub.convert.norms import NORMED_PARTS, fold_into_convs, with_counters, without_counters
from adept_hub.convert.options import CASCADE_STAGES
from adept_hub.convert.regressor import regressor_copies, without_regressor
from adept_hub.convert.structure import Structure, part_of_key, read_structure
from adept_hub.errors import UnsupportedModelError
from adept_hub.models.contract import part_of
from adept_hub.spec import PARTS, DetectorSpec

#: Part, code, problem, values for the remedy.
_Found = tuple[str, str, str, Mapping[str, object]]


class TensorCopy(NamedTuple):
    """One copy: canonical key, key in the user's model, value in the target's shape."""

    source: str
    target: str
    tensor: Tensor


class ModelProblem(NamedTuple):
    """One disagreement between a model's structure and a spec: its part, the problem and the remedy."""

    part: str
    code: str
    what: str
    remedy: str


@checked
def plan_for_model(
    recognized: Recognized,
    model_state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    spec: DetectorSpec,
    parts: str | Iterable[str] = PARTS,
    *,
    fold_norms: bool = False,
) -> list[TensorCopy]:
    """Plan the copies of all canonical tensors of ``parts`` into a model with this state, without copying yet.

    The plan covers every tensor of a requested part on both sides, in the model and in the checkpoint (except for
    batch counters, which frozen norms lack); each of Cascade's stages gets a copy of the head. A box regressor comes
    with the head, for every class of the model, if the model has a layer for it.

    Args:
        recognized: the model's framework and detector, from `adept_hub.frameworks.recognize.recognize`.
        model_state: ``model.state_dict()``.
        tensors: the canonical tensors, at least those of ``parts``.
        spec: their architecture.
        parts: the requested parts.
        fold_norms: if the model's FPN or head has convolutions without norms, fold the pre-trained norms into them.

    Raises:
        UnsupportedModelError: the model's architecture does not match a requested part.
    """
    state = {k.removeprefix(recognized.prefix): t for k, t in model_state.items() if k.startswith(recognized.prefix)}
    shapes = {key: tuple(t.shape) for key, t in state.items()}
    structure = read_structure(shapes, recognized.framework.layout)
    requested = chosen_parts(parts)
    if problems := [
        p for p in find_problems(structure, spec, recognized.framework, fold_norms=fold_norms) if p.part in requested
    ]:
        raise UnsupportedModelError(_refusal(recognized, problems))
    values = {key: t for key, t in without_regressor(tensors).items() if part_of(key) in requested}
    norms = dict(zip(NORMED_PARTS, (structure.backbone_norm, structure.fpn_norm, structure.head_norm), strict=True))
    values = without_counters(values, [part for part, norm in norms.items() if norm == "FrozenBN"])
    values = with_counters(values, [part for part, norm in norms.items() if norm == "BN"])
    values = fold_into_convs(values, [part for part, norm in norms.items() if norm == "none" and part != "backbone"])
    table = recognized.framework.key_table(recognized.detector, spec)
    steps = [TensorCopy(key, target, t) for key, t in values.items() for target in table.targets(key)]
    _check_cover(recognized, {step.target: step.tensor for step in steps}, shapes, requested)
    if "head" in requested:
        steps += [TensorCopy(*copy) for copy in regressor_copies(tensors, recognized, shapes)]
    return [step._replace(target=recognized.prefix + step.target) for step in steps]


def find_problems(
    structure: Structure, spec: DetectorSpec, framework: Framework, *, fold_norms: bool = False
) -> Iterator[ModelProblem]:
    """Yield every disagreement between a detector's structure and a spec that makes tensors incompatible."""
    for part, code, what, values in _problems(structure, spec, fold_norms):
        yield ModelProblem(part, code, what, framework.remedy(code, **values))


def _problems(has: Structure, spec: DetectorSpec, fold_norms: bool) -> Iterator[_Found]:
    if has.depth != spec.depth:
        model = f"a ResNet-{has.depth}" if has.depth else "not a ResNet-18, -34, -50 or -101"
        what = f"your backbone is {model}, but the weights are those of a ResNet-{spec.depth}"
        yield "backbone", "depth", what, {"want": spec.depth}
    if has.backbone_norm in ("GN", "none"):
        yield "backbone", "backbone_norm", f"your backbone has {_norm_name(has.backbone_norm)}", {}
    yield from _norm_problems("fpn", "FPN", has.fpn_norm, spec.fpn_norm, fold_norms)
    if has.fpn_channels != spec.fpn_channels:
        what = f"your FPN has {has.fpn_channels} channels, but the weights have {spec.fpn_channels}"
        yield "fpn", "fpn_channels", what, {"want": spec.fpn_channels}
    if has.fpn_extra_convs:
        yield "fpn", "fpn_extra_convs", "your FPN has convolutions beyond P5, for which there are no weights", {}
    yield from _rpn_problems(has, spec)
    yield from _head_problems(has, spec, fold_norms)


def _rpn_problems(has: Structure, spec: DetectorSpec) -> Iterator[_Found]:
    width = rpn_values(spec)
    if has.rpn_convs != spec.rpn_convs == 1:
        what = f"your RPN has {has.rpn_convs} convolutions, but the weights have one; behind a second, randomly"
        yield "rpn", "rpn_convs", f"{what} initialized one the pre-trained outputs would be noise", width
    elif has.rpn_convs != spec.rpn_convs:
        yield "rpn", "rpn_convs", f"your RPN has {has.rpn_convs} convolutions, but the weights have two", width
    if has.rpn_channels != spec.fpn_channels:
        what = f"your RPN's convolution has {has.rpn_channels} channels, but the weights have {spec.fpn_channels}"
        yield "rpn", "rpn_channels", what, width
    if has.anchors != spec.anchors_per_location:
        what = f"your RPN has {has.anchors} anchors per location, but the weights have {spec.anchors_per_location}"
        yield "rpn", "anchors", what, {"ratios": list(spec.anchors.ratios)}
    if has.rpn_softmax:
        what = "your RPN has two softmax logits per anchor, but the weights have one sigmoid logit"
        yield "rpn", "rpn_softmax", what, {}


def _head_problems(has: Structure, spec: DetectorSpec, fold_norms: bool) -> Iterator[_Found]:
    code, shape = head_code(spec), head_values(spec)
    convs, fcs = spec.head_layers
    if (has.head_convs, has.head_fcs) != (convs, fcs):
        what = f"your box head has {has.head_convs} convolutions and {has.head_fcs} fc layers"
        yield "head", code, f"{what}, but the weights have {convs} and {fcs}", shape
        return
    if convs and (has.head_conv_channels, has.head_fc_channels) != (spec.head_conv_channels, spec.head_fc_channels):
        what = f"your box head has {has.head_conv_channels} channels and {has.head_fc_channels} features"
        width = f"{spec.head_conv_channels} and {spec.head_fc_channels}"
        yield "head", code, f"{what}, but the weights have {width}", shape
    if not convs and has.head_fc_channels != spec.head_fc_channels:
        what = f"your box head has {has.head_fc_channels} features, but the weights have {spec.head_fc_channels}"
        yield "head", code, what, shape
    if convs:
        yield from _norm_problems("head", "box head", has.head_norm, spec.head_norm, fold_norms)
    if has.stages not in (1, CASCADE_STAGES):
        yield "head", "stages", f"your Cascade has {has.stages} stages, but three are supported", {}


def rpn_values(spec: DetectorSpec) -> Mapping[str, object]:
    """Return the values of the remedies for an RPN."""
    return {
        "want": spec.fpn_channels, "channels": spec.fpn_channels, "count": spec.anchors_per_location,
        "convs": spec.rpn_convs, "dims": [-1] * spec.rpn_convs,
    }  # fmt: skip


def head_code(spec: DetectorSpec) -> str:
    """Return the code of the remedy for a RoI head of other layers or widths."""
    return "head_shape" if spec.head == "4conv1fc" else "head_shape_2fc"


def head_values(spec: DetectorSpec) -> Mapping[str, object]:
    """Return the values of the remedies for a RoI head."""
    return {"convs": spec.head_conv_channels, "fc": spec.head_fc_channels, "channels": spec.fpn_channels}


def _norm_problems(part: str, name: str, has: str, wants: str, fold_norms: bool) -> Iterator[_Found]:
    """Compare the norms of a model's FPN or box head with those of the weights."""
    if wants == "none":
        if has != "none":
            yield part, f"{part}_no_norm", f"your {name} has norms, but the weights have none", {}
    elif has == "GN" or (has == "none" and not fold_norms):
        yield part, f"{part}_norm", f"your {name} has {_norm_name(has)}", {}


def _norm_name(norm: str) -> str:
    return "no norm" if norm == "none" else "GroupNorm, but the weights need batch norm"


def _refusal(recognized: Recognized, problems: list[ModelProblem]) -> str:
    lines = [
        f"The architecture of this {recognized.framework.name} model does not match the pre-trained "
        f"{_list(p.part for p in problems)}:"
    ]
    lines.append("; ".join(f"{problem.what}: {problem.remedy}" for problem in problems) + ".")
    failed = {problem.part for problem in problems}
    # A pre-trained part on top of a random one is of little use: the FPN needs the backbone, the heads need both.
    rest = [part for part in PARTS if not failed & {part, *PARTS[: min(PARTS.index(part), 2)]}]
    ways = [f"load fewer parts with parts={tuple(rest)!r}"] if rest else []
    if all(p.code in ("fpn_norm", "head_norm") and "no norm" in p.what for p in problems):
        ways.append("fold the norms into your convolutions with fold_norms=True")
    if ways:
        lines.append(f"Or {', or '.join(ways)}.")
    return "\n".join(lines)


def _list(parts: Iterable[str]) -> str:
    *first, last = dict.fromkeys(parts)
    return f"{', '.join(first)} and {last}" if first else last


def _check_cover(
    recognized: Recognized,
    planned: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    requested: tuple[str, ...],
) -> None:
    """Check that both sides have the same keys and shapes, independently of the structure."""
    present = {key for key in shapes if part_of_key(key, recognized.framework.layout) in requested}
    for problem, keys in (
        ("has tensors that the checkpoint does not fill", sorted(present - planned.keys())),
        ("lacks tensors of the checkpoint", sorted(planned.keys() - present)),
        (
            "has tensors of another shape",
            [k for k, t in planned.items() if k in shapes and shapes[k] != tuple(t.shape)],
        ),
    ):
        if keys:
            name = recognized.framework.name
            raise UnsupportedModelError(
                f"This {name} model {problem}: {len(keys)}, first {keys[0]!r}.\n"
                f"Build it from an exported config (adept export SOURCE --to {name} --out DIR), or load fewer parts "
                "with parts=."
            )
