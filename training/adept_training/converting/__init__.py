"""Convert labeled data sets between COCO, Pascal VOC and YOLO."""
