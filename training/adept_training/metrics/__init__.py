"""Detections and their metrics: COCO, VOC, TIDE, RPN recall, and the report page."""
