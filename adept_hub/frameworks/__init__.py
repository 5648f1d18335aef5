"""What is specific to torchvision, Detectron2 and MMDetection, one module per framework."""
