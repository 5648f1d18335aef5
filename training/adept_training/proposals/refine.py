"""Mix the best regions of a pre-trained RPN into a table: the second round of ``adept proposals refine``.

A box that the network and the first round both rank high stays high; one that only one of them knows is kept at its
rank there. Nothing of it needs labels.

Legend: N boxes of the table, M regions of the RPN; 4 = x1, y1, x2, y2 in pixels of the image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.detectors.regions import at_pretraining_scale
from adept_hub.errors import ImageDecodeError, ProposalsError, SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.io.folder_lock import own_folder
from adept_hub.models.propose import propose
from adept_training.images import ImageSource, content_hash, decode, decoder_version, open_images
from adept_training.proposals.engines import SHARD_SIZE
from adept_training.proposals.objects.suppress import Floats, suppress
from adept_training.proposals.run import ProposalProgress, RunReport, fill_table
from adept_training.proposals.search.boxes import Boxes, filter_mask
from adept_training.proposals.search.presets import Preset, preset_from_dict
from adept_training.proposals.table.match import matching_keys
from adept_training.proposals.table.shards import ProposalRow, TablePlan, Unreadable, keys_digest
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.launch import make_fabric

#: Boxes that overlap a better one by more are left out.
NMS_IOU = 0.7


@checked
def refine_proposals(
    table: str | Path,
    images: str | Path | ImageSource,
    model: str,
    out: str | Path,
    *,
    boxes: int | None = None,
    device: str = "auto",
    strict: bool = False,
    shard_size: int = SHARD_SIZE,
    progress: Callable[[ProposalProgress], None] | None = None,
    wait: bool = False,
) -> RunReport:
    """Write a table of the boxes of another one and of the regions of a source's RPN, best first.

    Calling this again with the same arguments resumes an interrupted run.

    Args:
        table: the first round's table, whose preset ranks its boxes (``objects``).
        images: its images, as for `run_proposals`.
        model: a source or a run of `pretrain` that has an RPN.
        out: folder of the new table.
        boxes: number of boxes per image; by default that of the first round's preset.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    For the other arguments and errors see `run_proposals`.

    Raises:
        ProposalsError: the boxes of ``table`` have no order, or it is of other images.
        SourceError: the source has no RPN.

    Example:
        >>> refine_proposals("boxes", "photos", "runs/mine", "boxes-2")  # doctest: +SKIP
    """
    opened = ProposalTable.open(table)
    preset = preset_from_dict(opened.metadata["preset"])
    if preset.objects is None:
        raise ProposalsError(
            f"The boxes in {table} have no order, because its preset is {preset.name}: only those of objects are "
            "ranked.\nMake a ranked table first: adept proposals IMAGES --preset objects --out BOXES"
        )
    source = open_images(images) if isinstance(images, str | Path) else images
    source = source.subset(matching_keys(opened, source, str(images)))
    config = fetch(model).config
    if "rpn" not in config.parts:
        raise SourceError(
            f"{model} has no RPN, which finds the regions.\nPre-train one: "
            f"adept pretrain --images IMAGES --proposals {table} --recipe own_photos_detection --out RUN"
        )
    folder, keys = Path(out), source.keys()
    most = boxes or preset.objects.most
    first = hashlib.sha256(json.dumps(opened.metadata, sort_keys=True).encode()).hexdigest()
    engine = {"name": "refine, version 1", "boxes": str(most), "first_round": first, "weights": config.sha256}
    with own_folder(folder, wait=wait):
        plan = TablePlan(len(keys), shard_size, keys_digest(keys), opened.metadata["preset"], engine, decoder_version())
        network = at_pretraining_scale(model, config).to(make_fabric("fp32", device).device)
        return fill_table(
            source, folder, plan, _Refiner(opened, network, preset, most), strict=strict, progress=progress
        )


@dataclass(frozen=True)
class _Refiner:
    """The work on a few images."""

    table: ProposalTable
    model: GeneralizedRCNN
    preset: Preset
    most: int

    def __call__(self, images: ImageSource) -> list[ProposalRow | Unreadable]:
        return [self._refine(images, key) for key in images.keys()]  # noqa: SIM118 - a method, not a dict

    def _refine(self, images: ImageSource, key: str) -> ProposalRow | Unreadable:
        try:
            content = images.read(key)
            pixels_HW3 = decode(content, key)
        except ImageDecodeError as error:
            return Unreadable(key, str(error))
        height, width = pixels_HW3.shape[:2]
        device = next(self.model.parameters()).device
        image = torch.from_numpy(np.ascontiguousarray(pixels_HW3)).to(device).permute(2, 0, 1).float() / 255
        regions_M4 = propose(self.model, [image])[0].boxes_K4.cpu().numpy()
        regions_M4 = regions_M4[filter_mask(regions_M4, (width, height), self.preset.filter)]
        known_N4 = self.table.boxes(key)
        if self.table.fallback(key) and len(regions_M4):
            known_N4 = known_N4[:0]
        boxes = mix(known_N4, regions_M4)[: self.most]
        return ProposalRow(
            key, width, height, boxes, self.table.fallback(key) and not len(regions_M4), content_hash(content)
        )


def mix(known_N4: Boxes, regions_M4: Boxes, most_iou: float = NMS_IOU) -> Boxes:
    """Return both lists in turn, the table's box first, without those that overlap a better one by more than that.

    Args:
        known_N4: boxes float32, best first.
        regions_M4: boxes float32, best first.
        most_iou: in [0, 1].
    """
    both_B4: Floats = np.concatenate([known_N4, regions_M4]).astype(np.float64)
    rank_B = np.concatenate([2 * np.arange(len(known_N4)), 2 * np.arange(len(regions_M4)) + 1])
    kept_K = suppress(both_B4, np.argsort(rank_B), most_iou, len(both_B4))
    return both_B4[kept_K].astype(np.float32)
