"""Recognize the layout of another project's checkpoint and convert its tensors to the canonical form."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from adept_hub.convert.infer import infer_spec
from adept_hub.convert.keymap import KeyTable
from adept_hub.convert.norms import with_counters, with_identity_norms
from adept_hub.errors import (
    CheckpointError,
    IncompleteLoadError,
    ShapeMismatchError,
    UnknownKeyError,
    UnsupportedModelError,
)
from adept_hub.foreign.detectors import DETECTOR_VARIANTS, detector_table, finish_detector
from adept_hub.foreign.layout import ForeignLayout
from adept_hub.foreign.projects import FOREIGN_LAYOUTS
from adept_hub.models.contract import check_tensors, part_of
from adept_hub.spec import PARTS, DetectorSpec
from adept_hub.words.spelling import did_you_mean

__all__ = ["FOREIGN_LAYOUTS", "ForeignLayout", "import_layout", "recognize_layout"]

#: If a file matches two layouts, the one that the project's own tools use, or the more frequent one; the other needs
#: --layout. Only a detector with class predictors matches MMDetection's.
_SECOND_CHOICE = frozenset({"soco-target", "aligndet-detector", *DETECTOR_VARIANTS})


def recognize_layout(keys: Iterable[str]) -> str:
    """Recognize the layout of a checkpoint by the names of its tensors, all of which must match.

    Raises:
        CheckpointError: no layout has all of the names, or several do.
    """
    keys = list(keys)
    fitting = _fitting(keys)
    matches = [name for name in fitting if name not in _SECOND_CHOICE] or fitting
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise CheckpointError(
            f"Several projects use exactly these names: {', '.join(matches)}.\n"
            "They differ in what names do not show, such as the preprocessing (simclr: pixels in [0, 1]; the others: "
            f"ImageNet's mean and std).\nSpecify the layout, for instance --layout {matches[0]}"
        )
    near = [name for name, layout in FOREIGN_LAYOUTS.items() if layout.marker in keys]
    closest = f"; the closest: {', '.join(near)}" if near else ""
    strange = next((key for key in keys if near and not _knows(FOREIGN_LAYOUTS[near[0]].table, [key])), keys[0])
    raise CheckpointError(
        f"No layout has all of these {len(keys)} tensors, such as {strange!r}{closest}.\n"
        f"Layouts: {', '.join(FOREIGN_LAYOUTS)}. Specify one with --layout."
    )


def import_layout(
    state: Mapping[str, Tensor], layout: str, where: str = "The file"
) -> tuple[dict[str, Tensor], DetectorSpec]:
    """Convert another project's state dict to canonical tensors and return them with their architecture.

    Norm-free FPNs and heads get identity norms (see `with_identity_norms`), but those of whole detectors stay as they
    are; the spec has the project's anchors and level assignment.

    Args:
        state: the tensors, by the project's names.
        layout: a name in `FOREIGN_LAYOUTS`.
        where: the file, for messages.

    Raises:
        CheckpointError: the layout is unknown.
        UnknownKeyError: the file has a tensor that is not in the layout.
        IncompleteLoadError, ShapeMismatchError: a part is incomplete.
        UnsupportedModelError: no spec describes the architecture.
    """
    check_layout(layout)
    definition = FOREIGN_LAYOUTS[layout]
    kind = definition.detector
    table = detector_table(state, kind) if kind else definition.table
    try:
        tensors = table.to_canonical(state)
    except UnknownKeyError:
        strange = next(key for key in state if not _knows(table, [key]))
        raise UnknownKeyError(
            f"{where} has {strange!r}, which is not in the layout {layout} ({definition.about}).\n"
            f"{_instead(list(state), layout, where)}"
        ) from None
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    with _complete(where, layout):
        if kind:
            return finish_detector(tensors, layout, definition.parts, kind)
        tensors = with_counters(with_identity_norms(tensors))
        shapes = {key: tuple(t.shape) for key, t in tensors.items()}
        spec = replace(infer_spec(shapes), anchors=definition.anchors, levels=definition.levels)
        # A file of a whole detector must be complete: a part must not be dropped silently if its names do not match.
        check_tensors(shapes, spec, {*definition.parts, *map(part_of, shapes)}, where)
    return tensors, spec


@contextlib.contextmanager
def _complete(where: str, layout: str) -> Iterator[None]:
    """Name the file, and a remedy for files, in the errors of the checks of its tensors."""
    try:
        yield
    except IncompleteLoadError as error:
        raise IncompleteLoadError(
            f"{_reason(error, where, layout)}\nDownload or save the file again: one that lacks tensors is not loaded."
        ) from error
    except ShapeMismatchError as error:
        reason = _reason(error, where, layout).replace("but the config requires", "but that of such a network is")
        raise ShapeMismatchError(f"{reason}\nUse a ResNet for RGB images, neither wide nor grouped.") from error
    except UnknownKeyError as error:
        raise UnknownKeyError(
            f"{_reason(error, where, layout)}\nUse one of the networks that docs/frameworks.md lists."
        ) from error
    except UnsupportedModelError as error:
        _, *remedy = str(error).splitlines()
        advice = "\n".join(remedy) or "Use a ResNet-18, -34, -50 or -101 as a backbone."
        raise UnsupportedModelError(f"{_reason(error, where, layout)}\n{advice}") from error


def _reason(error: Exception, where: str, layout: str) -> str:
    reason = str(error).splitlines()[0].removeprefix(f"{where}: ").removeprefix("checkpoint: ")
    return f"{where} (layout {layout}): {reason}"


def _instead(keys: list[str], layout: str, where: str) -> str:
    """Return what a file that is not of ``layout`` seems to be, and what to type."""
    if fitting := [name for name in _fitting(keys) if name != layout]:
        source = shlex.quote(f"{fitting[0]}:{where}")
        kinds = f"layout{'s' * (len(fitting) > 1)} {', '.join(fitting)}"
        return f"The file matches the {kinds}: pass {source} (adept import: --layout {fitting[0]})"
    if {key.partition(".")[0] for key in keys} <= set(PARTS):
        return (
            "The file is that of a checkpoint of adept_hub: pass the folder that it was in, which has its config.json."
        )
    return "No layout has all of its names: use a ResNet, or a detector of a project that docs/frameworks.md lists."


def check_layout(layout: str) -> None:
    """Check the name of a layout.

    Raises:
        CheckpointError: it is unknown.
    """
    if layout not in FOREIGN_LAYOUTS:
        hint = did_you_mean(layout, FOREIGN_LAYOUTS)
        raise CheckpointError(f"Unknown layout {layout!r}.{hint}\nLayouts: {', '.join(FOREIGN_LAYOUTS)}.")


def fits_layout(keys: Iterable[str], layout: str) -> bool:
    """Check whether a layout has all of the names of a checkpoint's tensors."""
    return layout in _fitting(list(keys))


def _fitting(keys: list[str]) -> list[str]:
    return [name for name, layout in FOREIGN_LAYOUTS.items() if layout.marker in keys and _knows(layout.table, keys)]


def _knows(table: KeyTable, keys: Iterable[str]) -> bool:
    try:
        for key in keys:
            table.canonical(key)
    except UnknownKeyError:
        return False
    return True
