"""Check that a detector has the classes of the published files, whose data and license would be recorded for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from adept_hub.errors import CheckpointError
from adept_hub.foreign.projects import FOREIGN_LAYOUTS
from adept_hub.words.command_line import command_line


def check_classes(state: Mapping[str, Tensor], layout: str, path: Path) -> None:
    """Check that a file's predictors are for as many classes as those of the layout's published files.

    A file without predictors passes, and so does a file of a backbone.

    Args:
        state: the tensors, by the project's names.
        layout: a name in `FOREIGN_LAYOUTS`.
        path: the file, for messages.

    Raises:
        CheckpointError: they are for others, so that its data and license are not those of the published files.
    """
    kind = FOREIGN_LAYOUTS[layout].detector
    if kind is None:
        return
    classifier = next(row.target for row in kind.framework.box_predictor if row.canonical == "cls")
    weight = state.get(f"{classifier.format(stage='')}.weight")
    if weight is None or weight.shape[0] == kind.classes:
        return
    raise CheckpointError(
        f"{path} has predictors for {weight.shape[0]} classes, background included, and not the {kind.classes} of "
        f"{layout}'s COCO weights, so its data and license are unknown.\nState them: "
        f"{command_line('import', path, '--layout', layout, '--data', 'TEXT', '--license', 'LICENSE', '--out', 'DIR')}"
    )
