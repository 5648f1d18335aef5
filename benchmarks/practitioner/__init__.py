"""A practitioner's loop next to torchvision's references and Detectron2's tools, on the same weights and images."""
