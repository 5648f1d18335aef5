"""One face for four detectors, so that the same photograph can be asked of each: canonical, and three frameworks.

Legend: N images, K boxes, L levels (P2-P6).
"""

from __future__ import annotations

import runpy
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from adept_hub.models import DetectorParts, assemble_detector
from tests.frameworks_support import register_mmdet

TOP = 100


class TorchvisionProbe:
    """A torchvision GeneralizedRCNN."""

    def __init__(self, model) -> None:
        self.model = model.eval()

    def stages(self, images_NCHW: Tensor) -> list[Tensor]:
        return list(self.model.backbone.body(images_NCHW).values())

    def pyramid(self, images_NCHW: Tensor) -> list[Tensor]:
        return list(self.model.backbone(images_NCHW).values())

    def rpn(self, feats_NCHW: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return self.model.rpn.head(feats_NCHW)

    def proposals(self, images_NCHW: Tensor) -> list[Tensor]:
        size = tuple(images_NCHW.shape[-2:])
        images = ImageList(images_NCHW, [size] * len(images_NCHW))
        boxes, _ = self.model.rpn(images, self.model.backbone(images_NCHW))
        return [b[:TOP] for b in boxes]

    def pooled(self, images_NCHW: Tensor, boxes_NK4: list[Tensor]) -> Tensor:
        size = tuple(images_NCHW.shape[-2:])
        return self.model.roi_heads.box_roi_pool(self.model.backbone(images_NCHW), boxes_NK4, [size] * len(boxes_NK4))

    def heads(self, images_NCHW: Tensor, boxes_NK4: list[Tensor]) -> list[Tensor]:
        pooled, head = self.pooled(images_NCHW, boxes_NK4), self.model.roi_heads.box_head
        stages = head if isinstance(head, torch.nn.ModuleList) else [head]
        return [stage(pooled) for stage in stages]

    def normalized(self, image_rgb: Tensor) -> Tensor:
        """The network's input for a uint8 RGB image (3, H, W), before resizing."""
        return self.model.transform.normalize(image_rgb / 255)


def canonical_probe(spec, tensors, detector="faster_rcnn", **options) -> TorchvisionProbe:
    """The library's own detector, whose parts are the reference; on pre-training's anchors, as exports are."""
    parts = DetectorParts(spec)
    parts.load_state_dict(tensors, strict=True)
    options.setdefault("anchor_sizes", (24.0, 48.0, 96.0, 192.0, 384.0))
    return TorchvisionProbe(assemble_detector(parts, 4, detector, **options))


def torchvision_probe(folder: Path) -> TorchvisionProbe:
    """The export's own build_model.py, which loads strictly by itself."""
    return TorchvisionProbe(runpy.run_path(str(folder / "build_model.py"))["build_model"]())


class Detectron2Model:
    """A Detectron2 model."""

    def __init__(self, model) -> None:
        self.model = model.eval()

    def stages(self, images_NCHW: Tensor) -> list[Tensor]:
        return list(self.model.backbone.bottom_up(images_NCHW).values())

    def pyramid(self, images_NCHW: Tensor) -> list[Tensor]:
        return list(self.model.backbone(images_NCHW).values())

    def rpn(self, feats_NCHW: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return self.model.proposal_generator.rpn_head(feats_NCHW)

    def proposals(self, images_NCHW: Tensor) -> list[Tensor]:
        from detectron2.structures import ImageList as D2ImageList

        size = tuple(images_NCHW.shape[-2:])
        images = D2ImageList(images_NCHW, [size] * len(images_NCHW))
        found, _ = self.model.proposal_generator(images, self.model.backbone(images_NCHW))
        return [p.proposal_boxes.tensor[:TOP] for p in found]

    def pooled(self, images_NCHW: Tensor, boxes_NK4: list[Tensor]) -> Tensor:
        from detectron2.structures import Boxes

        heads = self.model.roi_heads
        feats = self.model.backbone(images_NCHW)
        return heads.box_pooler([feats[f] for f in heads.box_in_features], [Boxes(b) for b in boxes_NK4])

    def heads(self, images_NCHW: Tensor, boxes_NK4: list[Tensor]) -> list[Tensor]:
        pooled, head = self.pooled(images_NCHW, boxes_NK4), self.model.roi_heads.box_head
        stages = head if isinstance(head, torch.nn.ModuleList) else [head]
        return [stage(pooled) for stage in stages]


class Detectron2Probe(Detectron2Model):
    """A stock Detectron2 model built from the export's config and loaded by Detectron2's own checkpointer."""

    def __init__(self, folder: Path) -> None:
        from detectron2.checkpoint import DetectionCheckpointer
        from detectron2.config import get_cfg
        from detectron2.modeling import build_model

        found = []

        class Recorder(DetectionCheckpointer):
            def _log_incompatible_keys(self, incompatible) -> None:
                found.append(incompatible)

        self.cfg = get_cfg()
        self.cfg.merge_from_file(str(folder / "config.yaml"))
        self.cfg.MODEL.DEVICE = "cpu"
        super().__init__(build_model(self.cfg))
        Recorder(self.model).load(self.cfg.MODEL.WEIGHTS)
        (incompatible,) = found
        self.missing, self.unexpected = list(incompatible.missing_keys), list(incompatible.unexpected_keys)
        assert not incompatible.incorrect_shapes

    def normalized(self, image_rgb: Tensor) -> Tensor:
        assert self.cfg.INPUT.FORMAT == "RGB"  # what DatasetMapper then hands over
        return self.model.preprocess_image([{"image": image_rgb}]).tensor[0, :, : image_rgb.shape[1]]


class MmdetModel:
    """An MMDetection model."""

    def __init__(self, model) -> None:
        self.model = model.eval()

    def stages(self, images_NCHW: Tensor) -> list[Tensor]:
        return list(self.model.backbone(images_NCHW))

    def pyramid(self, images_NCHW: Tensor) -> list[Tensor]:
        return list(self.model.extract_feat(images_NCHW))

    def rpn(self, feats_NCHW: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return self.model.rpn_head(feats_NCHW)

    def proposals(self, images_NCHW: Tensor) -> list[Tensor]:
        size = tuple(images_NCHW.shape[-2:])
        metas = [{"img_shape": size, "scale_factor": (1.0, 1.0)}] * len(images_NCHW)
        feats = self.model.extract_feat(images_NCHW)
        cfg = self.model.test_cfg.rpn
        found = self.model.rpn_head.predict_by_feat(
            *self.model.rpn_head(feats), batch_img_metas=metas, cfg=cfg, rescale=False, with_nms=True
        )
        return [p.bboxes[:TOP] for p in found]

    def pooled(self, images_NCHW: Tensor, boxes_NK4: list[Tensor]) -> Tensor:
        from mmdet.structures.bbox import bbox2roi

        extractor = self.model.roi_head.bbox_roi_extractor
        extractor = extractor[0] if isinstance(extractor, torch.nn.ModuleList) else extractor
        return extractor(self.model.extract_feat(images_NCHW)[: extractor.num_inputs], bbox2roi(boxes_NK4))

    def heads(self, images_NCHW: Tensor, boxes_NK4: list[Tensor]) -> list[Tensor]:
        pooled, head = self.pooled(images_NCHW, boxes_NK4), self.model.roi_head.bbox_head
        stages = head if isinstance(head, torch.nn.ModuleList) else [head]
        found: list[Tensor] = []
        for stage in stages:
            # What the predictors are given is the head's output.
            handle = stage.fc_cls.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
            stage(pooled)
            handle.remove()
        return found


class MmdetProbe(MmdetModel):
    """A stock MMDetection model built from the export's config and loaded by MMEngine's own loader."""

    def __init__(self, folder: Path) -> None:
        register_mmdet()
        from mmdet.registry import MODELS
        from mmengine.config import Config
        from mmengine.runner import load_checkpoint

        self.cfg = Config.fromfile(str(folder / "config.py"))
        super().__init__(MODELS.build(self.cfg.model))
        state = load_checkpoint(self.model, self.cfg.load_from, map_location="cpu", strict=False)["state_dict"]
        result = self.model.load_state_dict(state, strict=False)
        self.missing, self.unexpected = list(result.missing_keys), list(result.unexpected_keys)

    def normalized(self, image_rgb: Tensor) -> Tensor:
        # MMDetection's loader reads BGR, whatever the model wants.
        data = {"inputs": [image_rgb.flip(0)], "data_samples": None}
        return self.model.data_preprocessor(data)["inputs"][0, :, : image_rgb.shape[1]]


PROBES = {"detectron2": Detectron2Probe, "mmdet": MmdetProbe, "torchvision": torchvision_probe}
