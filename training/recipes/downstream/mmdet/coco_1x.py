# Table 1, COCO 1x: Mask R-CNN on COCO's 80 classes. Copy it and common/ beside the config.py that
# `adept export SOURCE --to mmdet --detector mask_rcnn --anchors rescaled --out DIR` wrote.
_base_ = ["./common/coco.py"]
if _base_.model["type"] != "MaskRCNN":
    raise ValueError("coco_1x needs: adept export SOURCE --to mmdet --detector mask_rcnn --out DIR")
model = {"roi_head": {"bbox_head": {"num_classes": 80}, "mask_head": {"num_classes": 80}}}
