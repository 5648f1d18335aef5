"""The rows and notes of a load report, derived from tensors that were read back from the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from adept_hub.convert.framework import Recognized
from adept_hub.convert.structure import part_of_key
from adept_hub.load_report import PartReport
from adept_hub.loading.transfer import Held
from adept_hub.models.contract import BOX_REGRESSOR, part_of
from adept_hub.models.wrapped import local, own_tensors, view_of
from adept_hub.spec import PARTS

_SOME = 3


def part_rows(
    model: nn.Module, held: Sequence[Held], tensors: Mapping[str, Tensor], rest: str, recognized: Recognized
) -> list[PartReport]:
    """Return one row per part and one, named ``rest``, for all other tensors.

    Args:
        model: the model after the load.
        held: the result of `adept_hub.loading.transfer.verify`.
        tensors: the canonical tensors of the requested parts, as stored in the checkpoint.
        rest: the name of the last row.
        recognized: the model's framework.
    """
    own = own_tensors(model)
    left: dict[str, list[str]] = {}
    filled = {one.step.target for one in held}
    for key, (name, _) in own.items():
        if key not in filled:
            part = part_of_key(key.removeprefix(recognized.prefix), recognized.framework.layout)
            left.setdefault(part or rest, []).append(name)
    used, seen = {one.step.source for one in held}, set()
    rows = {part: PartReport(part, reinitialized=tuple(left.get(part, ()))) for part in (*PARTS, rest)}
    counts = {part: [0, 0] for part in PARTS}
    for one in held:
        view = view_of(one.memory)
        counts[part_of(one.step.source)][0] += 1
        counts[part_of(one.step.source)][1] += 0 if view in seen else one.memory.nbytes  # tied tensors are one
        seen.add(view)
    adapted = [one for one in held if one.step.tensor is not tensors.get(one.step.source)]
    for part in PARTS:
        rows[part] = PartReport(
            part,
            loaded=counts[part][0],
            bytes=counts[part][1],
            reinitialized=rows[part].reinitialized,
            reshaped=tuple(one.name for one in adapted if part_of(one.step.source) == part),
            skipped=tuple((key, _why(key)) for key in tensors if part_of(key) == part and key not in used),
        )
    return list(rows.values())


def notes(model: nn.Module, held: Sequence[Held], also_changed: Iterable[str]) -> tuple[str, ...]:
    """Return side effects that a user may not expect: tensors that were rounded, changed too, or have no values."""
    rounded = [one for one in held if one.memory.is_floating_point() and one.memory.itemsize < one.step.tensor.itemsize]
    lines = []
    if rounded:
        precisions = sorted({str(one.memory.dtype).removeprefix("torch.") for one in rounded})
        lines.append(f"{len(rounded)} tensors were rounded to {' and '.join(precisions)}, the model's precision")
    for name in also_changed:
        lines.append(f"{name} changed too: it shares its memory with a tensor that was loaded")
    if empty := [name for name, tensor in own_tensors(model).values() if local(tensor).is_meta]:
        lines.append(f"{len(empty)} tensors are on the meta device and have no values: {', '.join(empty[:_SOME])}, ...")
    return tuple(lines)


def _why(key: str) -> str:
    if key in BOX_REGRESSOR:
        return "the model has no layer for it: a Cascade R-CNN, or other features"
    if key.endswith(".num_batches_tracked"):
        return "the model's norms are frozen or folded, and do not count batches"
    return "folded into the preceding convolution"
