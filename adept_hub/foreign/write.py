"""Write another project's weights as a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.errors import CheckpointError
from adept_hub.foreign.import_weights import FOREIGN_LAYOUTS, import_layout
from adept_hub.models.contract import part_of
from adept_hub.spec import PARTS, CheckpointConfig, Preprocessing, Provenance, Start


@dataclass(frozen=True)
class ForeignFacts:
    """What is known of weights beyond their tensors.

    Attributes:
        layout: a name in `FOREIGN_LAYOUTS`.
        start: name of the file or repository, its SHA-256 and its license.
        preprocessing: of the images; None: the layout's.
        name: name of the checkpoint; empty: LAYOUT_rDEPTH.TAG.
        tag: the part of the name after the dot.
        data: training data, in words; None: the layout's.
        depth: layers that its config states; None: unknown.
    """

    layout: str
    start: Start
    preprocessing: Preprocessing | None = None
    name: str = ""
    tag: str = "imported"
    data: str | None = None
    depth: int | None = None


def write_imported(folder: Path, state: Mapping[str, Tensor], facts: ForeignFacts, where: str = "") -> CheckpointConfig:
    """Convert a state dict and write it as a checkpoint folder, which must not exist.

    Args:
        folder: to write.
        state: the tensors, by the project's names.
        facts: what is known beyond them.
        where: the file or repository, for messages; default: the name of ``facts.start``.

    Raises:
        CheckpointError: the tensors are of another depth than the config states. Others as
            `adept_hub.foreign.import_weights.import_layout` and `adept_hub.checkpoint.folder.write_checkpoint`.
    """
    tensors, spec = import_layout(state, facts.layout, where or facts.start.name)
    if facts.depth is not None and spec.depth != facts.depth:
        raise CheckpointError(
            f"{facts.start.name}: its config is of a ResNet-{facts.depth}, its tensors are a ResNet-{spec.depth}'s.\n"
            "One of the two files belongs to another model: download or save both again."
        )
    layout, held = FOREIGN_LAYOUTS[facts.layout], {part_of(key) for key in tensors}
    provenance = Provenance(
        method=facts.layout.partition("-")[0],
        data=layout.data if facts.data is None else facts.data,
        images=0,
        epochs=0.0,
        exported_network=layout.network,
        trained_on=f"imported from {facts.start.name} (layout {facts.layout})",
        notes=(layout.note,) if layout.note else (),
        starts=(facts.start,),
        labeled=layout.labeled,
    )
    return write_checkpoint(
        folder,
        tensors,
        name=facts.name or f"{facts.layout.replace('-', '_')}_r{spec.depth}.{facts.tag}",
        spec=spec,
        provenance=provenance,
        license=facts.start.license,
        parts=tuple(part for part in PARTS if part in held),
        preprocessing=facts.preprocessing or layout.preprocessing,
    )
