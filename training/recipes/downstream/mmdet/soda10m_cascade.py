# Copy this and coco_1x beside the config.py that `adept export ... --to mmdet --detector cascade_rcnn --num-classes 7`
# wrote, and set the annotation file of your subset.
_base_ = ["./coco_1x.py"]
train_cfg = {"max_iters": 3726, "val_interval": 3726}
default_hooks = {"checkpoint": {"interval": 3726}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 1000},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 3726, "milestones": [2484, 3312], "gamma": 0.1},
]
