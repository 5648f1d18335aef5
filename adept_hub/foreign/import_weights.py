"""Other projects' checkpoints: whose names they are, and their tensors in the canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor

from adept_hub.convert.infer import infer_spec
from adept_hub.convert.keymap import KeyTable
from adept_hub.convert.norms import with_counters, with_identity_norms
from adept_hub.errors import CheckpointError, UnknownKeyError
from adept_hub.foreign.projects import FOREIGN_LAYOUTS, ForeignLayout
from adept_hub.models.contract import check_tensors, part_of
from adept_hub.spec import DetectorSpec
from adept_hub.words.spelling import did_you_mean

__all__ = ["FOREIGN_LAYOUTS", "ForeignLayout", "import_layout", "recognize_layout"]

#: Where one file fits two layouts, the one that its own project's tools take; the other must be asked for.
_SECOND_CHOICE = frozenset({"soco-target"})


def recognize_layout(keys: Iterable[str]) -> str:
    """The layout of a checkpoint by the names of its tensors, all of which it must know.

    Raises:
        CheckpointError: no layout knows them all, or several do.
    """
    keys = list(keys)
    fitting = _fitting(keys)
    chosen = [name for name in fitting if name not in _SECOND_CHOICE] or fitting
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise CheckpointError(
            f"Several projects have exactly these names: {', '.join(chosen)}.\n"
            "They differ in what no name tells, such as the pixels they were trained on (simclr: [0, 1] as they are; "
            f"the others: ImageNet's mean and deviation).\nSay whose file it is, for instance --layout {chosen[0]}"
        )
    near = [name for name, layout in FOREIGN_LAYOUTS.items() if layout.marker in keys]
    hint = f"The nearest: {', '.join(near)}; ask for one with --layout to see what it lacks." if near else ""
    raise CheckpointError(
        f"No layout knows all of these {len(keys)} tensors, {keys[0]!r} for one. {hint}\n"
        f"Known: {', '.join(FOREIGN_LAYOUTS)}. Name yours with --layout."
    )


def import_layout(state: Mapping[str, Tensor], layout: str) -> tuple[dict[str, Tensor], DetectorSpec]:
    """Another project's state dict as canonical tensors, and the architecture that they are of.

    Norm-free FPNs and heads get identity norms (see `with_identity_norms`); the spec has the project's own anchors and
    rule for levels.

    Raises:
        CheckpointError: the layout is unknown.
        UnknownKeyError: the file has a tensor that the layout does not list.
        IncompleteLoadError, ShapeMismatchError: a part is not whole.
        UnsupportedModelError: the architecture has no spec here.
    """
    if layout not in FOREIGN_LAYOUTS:
        hint = did_you_mean(layout, FOREIGN_LAYOUTS)
        raise CheckpointError(f"Unknown layout {layout!r}.{hint}\nKnown: {', '.join(FOREIGN_LAYOUTS)}.")
    chosen = FOREIGN_LAYOUTS[layout]
    try:
        tensors = chosen.table.to_canonical(state)
    except UnknownKeyError:
        strange = next(key for key in state if not _knows(chosen.table, [key]))
        fitting = _fitting(list(state))
        other = (
            f"They fit --layout {' or '.join(fitting)}" if fitting else f"Another? Known: {', '.join(FOREIGN_LAYOUTS)}."
        )
        raise UnknownKeyError(f"{strange!r} is no tensor of the layout {layout} ({chosen.about}).\n{other}") from None
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    tensors = with_counters(with_identity_norms(tensors))
    shapes = {key: tuple(t.shape) for key, t in tensors.items()}
    spec = replace(infer_spec(shapes), anchors=chosen.anchors, levels=chosen.levels)
    # A file of a whole detector must hold all of it: a part may not vanish because its names were lost.
    check_tensors(shapes, spec, {*chosen.parts, *map(part_of, shapes)}, f"the {layout} file")
    return tensors, spec


def _fitting(keys: list[str]) -> list[str]:
    return [name for name, layout in FOREIGN_LAYOUTS.items() if layout.marker in keys and _knows(layout.table, keys)]


def _knows(table: KeyTable, keys: Iterable[str]) -> bool:
    try:
        for key in keys:
            table.canonical(key)
    except UnknownKeyError:
        return False
    return True
