# Copy this, coco_10pct and coco_1x beside the config.py that `adept export ... --to mmdet --detector mask_rcnn`
# wrote, and set the annotation file of your subset.
_base_ = ["./coco_10pct.py"]
