"""Convert canonical weights to torchvision, Detectron2 and MMDetection and back; only its modules import torch."""
