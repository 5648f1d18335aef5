"""torchvision's side: its stock Faster R-CNN with these weights, and the loops of its references/detection.

torchvision does not install its references; their loops (engine.py, coco_eval.py) are written here again, step for
step, for one process.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from torchvision.models import resnet
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.transforms.functional import hflip, pil_to_tensor

from benchmarks.practitioner.material import Material

Target = dict[str, Tensor]


class References:
    """torchvision's references."""

    name = "torchvision's references"

    def __init__(self, material: Material) -> None:
        engine = material.recipe.engine
        self.trained, self.model = stock(material), stock(material).eval()
        self.model.roi_heads.score_thresh = material.detector.recipe.score_threshold
        self.optimizer = torch.optim.SGD(self.trained.parameters(), lr=material.recipe.peak_lr, momentum=0.9,
                                         weight_decay=material.recipe.optimizer.weight_decay)  # fmt: skip
        train, self.test = (CocoImages(material, split) for split in ("train", "test"))
        batches = BatchSampler(RandomSampler(train), engine.batch_size, drop_last=True)
        self.train_loader = DataLoader(train, batch_sampler=batches, num_workers=engine.workers, collate_fn=collate)
        self.test_loader = DataLoader(self.test, batch_size=1, num_workers=engine.workers, collate_fn=collate)
        self.files, self.epoch = material.files("test"), 0

    def train(self) -> float:
        """Train on every image once, as `train_one_epoch`; return the last loss."""
        device, model = torch.device("cpu"), self.trained.train()
        warm_up = None
        if self.epoch == 0:
            steps = min(1000, len(self.train_loader) - 1)
            warm_up = torch.optim.lr_scheduler.LinearLR(self.optimizer, start_factor=1 / 1000, total_iters=steps)
        self.epoch, value = self.epoch + 1, 0.0
        for images, targets in self.train_loader:
            images = [image.to(device) for image in images]
            targets = [{key: rows.to(device) for key, rows in target.items()} for target in targets]
            loss = sum(model(images, targets).values())
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(f"torchvision's loss is {value}")
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if warm_up is not None:
                warm_up.step()
        return value

    @torch.inference_mode()
    def evaluate(self) -> float:
        """Return AP on the test images, image by image as `CocoEvaluator` computes it."""
        evaluation = COCOeval(copy.deepcopy(self.test.coco), iouType="bbox")
        ids: list[int] = []
        tables: list[Any] = []
        for images, targets in self.test_loader:
            outputs = self.model(images)
            found = dict(zip((int(target["image_id"]) for target in targets), outputs, strict=True))
            ids.extend(found)
            tables.append(_match(evaluation, found))
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evalImgs = list(np.concatenate(tables, 2).flatten())
            evaluation.params.imgIds = ids
            evaluation._paramsEval = copy.deepcopy(evaluation.params)
            evaluation.accumulate()
            evaluation.summarize()
        return 100 * float(evaluation.stats[0])

    @torch.inference_mode()
    def predict(self) -> float:
        """Return the mean number of detections in the test images, read from their files."""
        found = [self.model([pixels(file)])[0] for file in self.files]
        return sum(len(one["scores"].numpy()) for one in found) / len(found)


def stock(material: Material) -> FasterRCNN:
    """Build torchvision's own classes, with its own anchors, pooling and resizing, and load the weights strictly."""
    spec, detector = material.checkpoint.spec, material.detector.recipe
    trunk = getattr(resnet, f"resnet{spec.depth}")(weights=None)
    channels = [trunk.fc.in_features // 2**i for i in (3, 2, 1, 0)]
    backbone = BackboneWithFPN(trunk, {f"layer{i}": str(i - 1) for i in range(1, 5)}, channels, spec.fpn_channels)
    backbone.fpn = FeaturePyramidNetwork(channels, spec.fpn_channels, backbone.fpn.extra_blocks, nn.BatchNorm2d)
    convolutions, width = [spec.head_conv_channels] * spec.HEAD_CONVS, spec.head_fc_channels
    model = FasterRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(
            tuple((int(size),) for size in detector.anchors), (spec.anchors.ratios,) * len(detector.anchors)
        ),
        rpn_head=RPNHead(spec.fpn_channels, len(spec.anchors.ratios), conv_depth=spec.rpn_convs),
        box_head=FastRCNNConvFCHead((spec.fpn_channels, 7, 7), convolutions, [width], norm_layer=nn.BatchNorm2d),
        box_predictor=FastRCNNPredictor(width, len(material.detector.classes) + 1),
        min_size=detector.test_side, max_size=detector.max_side,
        rpn_post_nms_top_n_train=detector.train_proposals, rpn_post_nms_top_n_test=detector.test_proposals,
        rpn_batch_size_per_image=detector.rpn_anchors, box_batch_size_per_image=detector.rois,
        box_detections_per_img=detector.detections,
    )  # fmt: skip
    model.load_state_dict(load_file(material.folder / "torchvision" / "model.safetensors"))
    return model


class CocoImages(torch.utils.data.Dataset[tuple[Tensor, Target]]):
    """Images as float32 in [0, 1] with their objects; training images are mirrored with probability 1/2."""

    def __init__(self, material: Material, split: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(material.labels(split)))
        self.rows = json.loads(material.labels(split).read_text())["images"]
        self.folder, self.flip = material.images, material.recipe.engine.flip if split == "train" else 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        row = self.rows[index]
        image_CHW = pixels(self.folder / row["file_name"])
        marks = self.coco.loadAnns(self.coco.getAnnIds(row["id"]))
        boxes_M4 = torch.tensor([mark["bbox"] for mark in marks])
        boxes_M4[:, 2:] += boxes_M4[:, :2]
        if torch.rand(()) < self.flip:
            image_CHW = hflip(image_CHW)
            boxes_M4[:, [0, 2]] = row["width"] - boxes_M4[:, [2, 0]]
        labels_M = torch.tensor([mark["category_id"] for mark in marks])
        return image_CHW, {"boxes": boxes_M4, "labels": labels_M, "image_id": torch.tensor(row["id"])}


def pixels(file: Path) -> Tensor:
    """Read an image as float32 (3, H, W) in [0, 1], as the references' presets do."""
    pixels_CHW: Tensor = pil_to_tensor(Image.open(file).convert("RGB"))
    return pixels_CHW.float() / 255


def collate(samples: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Return a batch as two lists."""
    return [image for image, _ in samples], [target for _, target in samples]


def _match(evaluation: COCOeval, found: dict[int, dict[str, Tensor]]) -> Any:
    """Match the detections of a batch; return pycocotools' table of them."""
    with contextlib.redirect_stdout(io.StringIO()):
        results = list(_results(found))
        evaluation.cocoDt = evaluation.cocoGt.loadRes(results) if results else COCO()
        evaluation.params.imgIds = list(found)
        evaluation.evaluate()
    sides = (-1, len(evaluation.params.areaRng), len(evaluation.params.imgIds))
    return np.asarray(evaluation.evalImgs).reshape(sides)


def _results(found: dict[int, dict[str, Tensor]]) -> Iterator[dict[str, Any]]:
    for image_id, output in found.items():
        x1, y1, x2, y2 = output["boxes"].unbind(1)
        boxes, scores, labels = torch.stack((x1, y1, x2 - x1, y2 - y1), 1), output["scores"], output["labels"]
        for box, score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True):
            yield {"image_id": image_id, "category_id": label, "bbox": box, "score": score}
