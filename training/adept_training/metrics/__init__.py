"""Detections and the metrics of them: COCO, VOC, TIDE, RPN recall, and the report page."""
