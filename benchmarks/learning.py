"""What a source has learned before any label: recall of its RPN, and what its RoI head tells about true boxes.

    python -m benchmarks.learning SOURCE --data DATA --table TABLE [--images 200]

The images must not be those of the pre-training. Recall is that of the best 100 boxes, beside the first 100 of the
images' own table and a blind grid. The second table classifies labeled objects and background (as many boxes as
objects, at an IoU below 0.3 with all of them) by their ten nearest neighbors in other images: mean recall of the
classes, in percent, by the head's features, by those of random weights, and by color, gradients and size.

Legend: B boxes, D features, N images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.detectors.regions import at_pretraining_scale
from adept_hub.hub.fetch import fetch
from adept_hub.models.detector import assemble_detector
from adept_hub.models.parts import DetectorParts
from adept_hub.models.propose import propose
from adept_training.images import decode, read_file
from adept_training.labels.datasets import open_data
from adept_training.labels.records import LabeledImage
from adept_training.method.pseudo_classes.describe import describe_boxes
from adept_training.proposals import ProposalTable
from adept_training.proposals.measure import box_iou
from adept_training.proposals.recall.blind_grid import blind_grid
from adept_training.proposals.recall.evaluate import Judged, best_overlaps, counted, match_images, recall_of

BOXES = 100
NEIGHBORS = 10
#: Background boxes overlap no object by more.
_BACKGROUND_IOU = 0.3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labeled:
    """Objects and background of one image; label 0 is the background."""

    pixels_HW3: npt.NDArray[np.uint8]
    boxes_B4: Floats
    label_B: npt.NDArray[np.int64]

    def as_input(self) -> Tensor:
        """Return float32 (3, H, W) in [0, 1]."""
        return torch.from_numpy(self.pixels_HW3).permute(2, 0, 1).float() / 255


def with_background(image: LabeledImage, rng: np.random.Generator) -> Labeled:
    """Add as many background boxes as there are objects, of the sizes of these, where there is room."""
    of_M = counted(image)
    objects_M4 = image.boxes_M4[of_M]
    sides_M2 = objects_M4[:, 2:] - objects_M4[:, :2]
    found = []
    for width, height in sides_M2:
        corners = rng.uniform(0, 1, (50, 2)) * np.maximum([image.width - width, image.height - height], 0)
        tried = np.concatenate([corners, corners + np.array([width, height])], axis=1)
        free = tried[(box_iou(tried, image.boxes_M4) < _BACKGROUND_IOU).all(axis=1)]
        found += list(free[:1])
    boxes_B4 = np.concatenate([objects_M4, np.reshape(found, (-1, 4))])
    pixels_HW3 = decode(read_file(image.path, image.file_name), image.file_name)
    return Labeled(pixels_HW3, boxes_B4, np.concatenate([image.labels_M[of_M], np.zeros(len(found), np.int64)]))


@torch.inference_mode()
def head_features(model: GeneralizedRCNN, images: Sequence[Labeled]) -> Tensor:
    """Return the RoI head's features of all boxes, float32 (B, D)."""
    rows = []
    for one in images:
        target = {"boxes": torch.from_numpy(one.boxes_B4).float(), "labels": torch.from_numpy(one.label_B)}
        batch, targets = model.transform([one.as_input()], [target])
        features = model.backbone(batch.tensors)
        pooled = model.roi_heads.box_roi_pool(features, [targets[0]["boxes"]], batch.image_sizes)
        rows.append(model.roi_heads.box_head(pooled))
    return torch.cat(rows)


def neighbor_recall(features_BD: Tensor, label_B: Tensor, image_B: Tensor, neighbors: int = NEIGHBORS) -> float:
    """Return the mean over classes of the share of boxes that most neighbors in other images call rightly, percent."""
    features_BD = F.normalize(features_BD - features_BD.mean(0), dim=1)
    similar_BB = features_BD @ features_BD.T
    similar_BB[image_B[:, None] == image_B[None]] = -torch.inf
    nearest_BK = similar_BB.topk(neighbors, dim=1).indices
    votes_BC = F.one_hot(label_B[nearest_BK], int(label_B.max()) + 1).sum(1).float()
    votes_BC /= label_B.bincount().float()  # classes differ in size
    right_B = votes_BC.argmax(dim=1) == label_B
    return 100 * float(torch.stack([right_B[label_B == k].float().mean() for k in label_B.unique()]).mean())


def show_recall(judged: Sequence[Judged], model: GeneralizedRCNN, images: Sequence[Labeled]) -> None:
    """Print the recall of RPN, table and blind grid."""
    lists = {
        "RPN": [propose(model, [one.as_input()])[0].boxes_K4.numpy() for one in images],
        "table": [one.boxes for one in judged],
        "blind grid": [blind_grid((one.image.width, one.image.height), BOXES) for one in judged],
    }
    labeled = [one.image for one in judged]
    for name, boxes in lists.items():
        found = recall_of(labeled, [best_overlaps(i, b[:BOXES]) for i, b in zip(labeled, boxes, strict=True)])
        print(
            f"{name:12} recall@{BOXES} {found.iou50:5.1f} at IoU 0.5, {found.iou70:5.1f} at 0.7;  "
            f"mean over classes {found.class50:5.1f}, {found.class70:5.1f};  AR {found.average:5.1f}"
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--table", required=True, type=Path)
    parser.add_argument("--images", type=int, default=200)
    args = parser.parse_args()
    config = fetch(args.source).config
    data = open_data(args.data)
    judged, _ = match_images(ProposalTable.open(args.table), data.val or data.train)
    judged = [judged[i] for i in np.linspace(0, len(judged) - 1, min(args.images, len(judged))).round().astype(int)]
    rng = np.random.default_rng(0)
    images = [with_background(one.image, rng) for one in judged]
    model = at_pretraining_scale(args.source, config)
    print(f"{args.source}: {len(judged)} images, {sum(int((one.label_B > 0).sum()) for one in images)} objects")
    show_recall(judged, model, images)
    label_B = torch.from_numpy(np.concatenate([one.label_B for one in images]))
    image_B = torch.arange(len(images)).repeat_interleave(torch.tensor([len(one.label_B) for one in images]))
    torch.manual_seed(0)
    random = assemble_detector(DetectorParts(config.spec), 2, "faster_rcnn").eval()
    random.transform = model.transform
    described = [
        describe_boxes(one.pixels_HW3, one.boxes_B4, (one.pixels_HW3.shape[1], one.pixels_HW3.shape[0]))
        for one in images
    ]
    standard = np.concatenate(described)
    standard = (standard - standard.mean(0)) / (standard.std(0) + 1e-6)
    for name, features_BD in (
        ("the head", head_features(model, images)),
        ("random", head_features(random, images)),
        ("description", torch.from_numpy(standard)),
    ):
        print(f"{name:12} box kNN {neighbor_recall(features_BD, label_B, image_B):5.1f}")


if __name__ == "__main__":
    main()
