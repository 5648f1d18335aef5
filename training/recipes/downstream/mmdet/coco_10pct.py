# Copy beside the config.py that `adept export ... --to mmdet` wrote, and set the annotation file of your subset.
_base_ = ["./config.py"]
train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 9000, "val_interval": 9000, "_delete_": True}
train_dataloader = {"batch_size": 2, "sampler": {"type": "InfiniteSampler", "shuffle": True}}  # 8 processes: 16 images
default_hooks = {"checkpoint": {"by_epoch": False, "interval": 9000}}
log_processor = {"by_epoch": False}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 900},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 9000, "milestones": [6000, 8000], "gamma": 0.1},
]
