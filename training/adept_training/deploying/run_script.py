"""The program next to a deployed ONNX graph, for machines without torch."""

RUN = '''\
"""Detect objects in images: python run.py IMAGE... (pip install onnxruntime numpy pillow)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

SCORE = 0.3  # least score that is printed
session = onnxruntime.InferenceSession(str(Path(__file__).with_name("model.onnx")), providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
given = session.get_inputs()[0]


def detect(path):
    """Return boxes (D, 4) xyxy in pixels of the image, labels (D,), indices of classes, and scores (D,), best first."""
    pixels = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    if given.shape[0] == 3:  # one image
        return session.run(None, {given.name: pixels})[:3]
    images = np.stack([pixels] * (given.shape[0] if isinstance(given.shape[0], int) else 1))
    *outputs, counts = session.run(None, {given.name: images})
    return [output[0, : counts[0]] for output in outputs[:3]]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        found = [one for one in zip(*detect(path)) if one[2] >= SCORE]
        for box, label, score in found:
            print(f"{path}  {classes[label]}  {score:.3f}  {' '.join(f'{value:.1f}' for value in box)}")
        if not found:
            print(f"{path}: nothing with a score of at least {SCORE}", file=sys.stderr)
'''
