"""Canonical weights to torchvision, Detectron2 and MMDetection and back; its modules import torch, it does not."""
