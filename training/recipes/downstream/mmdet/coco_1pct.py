# Copy it, coco_10pct.py, coco_1x.py and common/ (Mask R-CNN, 80 classes) beside the config.py that
# `adept export SOURCE --to mmdet --detector mask_rcnn --anchors rescaled --out DIR` wrote,
# and set the annotation file of your subset.
_base_ = ["./coco_10pct.py"]
