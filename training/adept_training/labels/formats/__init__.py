"""Readers of label files: COCO's JSON, Pascal VOC's folder of XML, YOLO's text files."""
