"""The trainer's calls; the commands of the same names parse their arguments and call these.

>>> adept_training.pretrain("images", "runs/mine", recipe="own_photos_cpu", engine={"seed": 3})  # doctest: +SKIP
"""
