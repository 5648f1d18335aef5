# Table 1, SODA10M: Cascade R-CNN on its six classes. Copy it and common/ beside the config.py that
# `adept export SOURCE --to mmdet --detector cascade_rcnn --num-classes 7 --anchors rescaled --out DIR` wrote
# (a folder of its own: the weights of a Mask R-CNN have one box head, a cascade has three),
# and set the annotation file of your subset.
_base_ = ["./common/coco.py"]
if _base_.model["type"] != "CascadeRCNN":
    raise ValueError("soda10m_cascade needs: adept export SOURCE --to mmdet --detector cascade_rcnn --out DIR")
stages = _base_.model["roi_head"]["bbox_head"]
for stage in stages:
    stage["num_classes"] = 6
model = {"roi_head": {"bbox_head": stages}}
train_cfg = {"max_iters": 3726, "val_interval": 3726}
default_hooks = {"checkpoint": {"interval": 3726}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 1000},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 3726, "milestones": [2484, 3312], "gamma": 0.1},
]
