"""A small detector of torchvision's first kind, as if imported with COCO weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adept_hub.spec import AnchorSpec, LevelSpec
from tests.house import SPEC, House, write_house

RIVAL = replace(
    SPEC, head="2fc", head_norm="none", fpn_norm="none", backbone_norm="frozen_bn", pooling="unaligned", rpn_convs=2,
    anchors=AnchorSpec((16.0, 32.0, 64.0, 128.0, 256.0), (0.5, 1.0, 2.0), "rounded"),
    levels=LevelSpec((112.0, 224.0, 448.0, 896.0)),
)  # fmt: skip


def write_rival(folder: Path) -> House:
    """Write the checkpoint of a rival whose training used labels."""
    from adept_hub.checkpoint.folder import replace_provenance

    house = write_house(folder, spec=RIVAL, name="torchvision_r18.rival")
    config = replace_provenance(folder, labeled=True, data="COCO with its labels")
    return replace(house, config=config)
