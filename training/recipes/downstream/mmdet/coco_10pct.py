# Copy it, coco_1x.py and common/ (Mask R-CNN, 80 classes) beside the config.py that
# `adept export SOURCE --to mmdet --detector mask_rcnn --anchors rescaled --out DIR` wrote,
# and set the annotation file of your subset.
_base_ = ["./coco_1x.py"]
train_cfg = {"max_iters": 9000, "val_interval": 9000}
default_hooks = {"checkpoint": {"interval": 9000}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 1000},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 9000, "milestones": [6000, 8000], "gamma": 0.1},
]
