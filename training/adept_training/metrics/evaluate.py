"""Compute every metric of a detector on a split."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.arguments.calls import checked
from adept_hub.detectors.detections import Detections
from adept_hub.words.pulse import doing
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import Split
from adept_training.metrics.coco import CocoMetrics, coco_metrics
from adept_training.metrics.detections import Found
from adept_training.metrics.nothing_learned import found_nothing
from adept_training.metrics.predict import predict_each
from adept_training.metrics.recall import RecallMeter
from adept_training.metrics.tide import TideResult, tide
from adept_training.metrics.voc import voc_metrics
from adept_training.pages.inline import inline, number, paragraphs, table

#: Cells of the table of a notebook: names and values of four metrics.
_IN_A_ROW = 8


@dataclass(frozen=True)
class Evaluation:
    """Metrics in percent; NaN if there are no objects. Fields are None if they were not requested."""

    split: Split = field(repr=False)
    found: Found = field(repr=False)
    proposals: dict[str, float] | None = None
    boxes: CocoMetrics | None = None
    masks: CocoMetrics | None = None
    voc: dict[str, dict[str, float]] | None = None
    tide: TideResult | None = None

    def flat(self) -> dict[str, float | None]:
        """Return every metric by name, None for NaN: for JSON and for tables."""
        values: dict[str, float] = {}
        if self.boxes is not None:
            values |= self.boxes.summary
        if self.masks is not None:
            values |= {f"mask_{name}": value for name, value in self.masks.summary.items()}
        if self.voc is not None:
            values |= {"VOC07_AP50": self.voc["07"]["mean"], "VOC_AP50": self.voc["area"]["mean"]}
        if self.tide is not None:
            values |= {f"TIDE_{name}": value for name, value in {**self.tide.main, **self.tide.special}.items()}
        if self.proposals is not None:
            values |= {f"RPN_{name}": value for name, value in self.proposals.items()}
        return {name: None if math.isnan(value) else round(value, 4) for name, value in values.items()}

    @property
    def caution(self) -> str:
        """A warning about an evaluation without detections; empty otherwise."""
        if self.boxes is None:
            return ""
        return found_nothing(sum(map(len, self.found.values())), self.split.objects, len(self.split))

    def _repr_html_(self) -> str:
        """Show every metric, and AP per class, in a notebook."""
        cells = [cell for name, value in self.flat().items() for cell in (name, number(value))]
        rows = [cells[start : start + _IN_A_ROW] for start in range(0, len(cells), _IN_A_ROW)]
        classes = {} if self.boxes is None else self.boxes.per_class
        return inline(
            f"{self.split.name}: {len(self.split)} images, {self.split.objects} objects",
            paragraphs([self.caution] if self.caution else [], "caution"),
            table(["metric", ""] * (_IN_A_ROW // 2), rows),
            table(["class", "AP", "AP50"], [[n, number(r["AP"]), number(r["AP50"])] for n, r in classes.items()]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the metrics, those per class, and the number of TIDE's errors."""
        report: dict[str, Any] = {"images": len(self.split), "objects": self.split.objects, "metrics": self.flat()}
        if self.boxes is not None:
            report |= {"found": sum(map(len, self.found.values())), "caution": self.caution}
        if self.boxes is not None:
            report["per_class"] = {
                name: {
                    **{k: _plain(v) for k, v in row.items()},
                    **({} if self.voc is None else {"VOC07_AP50": _plain(self.voc["07"][name]),
                                                    "VOC_AP50": _plain(self.voc["area"][name])}),
                }
                for name, row in self.boxes.per_class.items()
            }  # fmt: skip
        if self.tide is not None:
            report["tide_counts"] = self.tide.counts
        return report


def evaluate_detections(
    split: Split, found: Found, proposals: dict[str, float] | None = None, *, masks: bool = False
) -> Evaluation:
    """Compute every metric of existing detections, next to those of proposals.

    Raises:
        ValueError: the split lacks an image of the detections.
    """
    if strangers := set(found) - {image.key for image in split.images}:
        raise ValueError(f"{split.name} lacks {len(strangers)} of the images, such as {min(strangers, key=str)}")
    with doing(lambda: f"computing metrics of {len(found)} images of {split.name}"):
        return Evaluation(
            split, found, proposals,
            coco_metrics(split, found),
            coco_metrics(split, found, "segm") if masks and split.has_masks else None,
            voc_metrics(split, found),
            tide(split, found),
        )  # fmt: skip


@checked
def evaluate(model: GeneralizedRCNN, split: Split, *, heads: bool = True) -> Evaluation:
    """Run a detector over a split and compute its metrics; without ``heads`` those of its RPN only."""
    detections: dict[ImageKey, Detections] = {}
    recall = RecallMeter()
    for seen in predict_each(model, split, heads=heads):
        recall.add(seen.image, seen.proposed.boxes_D4)
        if seen.found is not None:
            detections[seen.image.key] = seen.found
    if not heads:
        return Evaluation(split, {}, recall.result())
    return evaluate_detections(split, detections, recall.result(), masks=model.roi_heads.has_mask())


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
