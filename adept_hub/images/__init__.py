"""The one reader and decoder of image files, shared by predictions and every stage of training.

Pixels are Pillow's, which torchvision requires, too. torchvision's own decoder reads neither TIFF nor BMP, and its JPEG
pixels differ; selective search is so unstable that boxes and views must see the same ones.
"""
