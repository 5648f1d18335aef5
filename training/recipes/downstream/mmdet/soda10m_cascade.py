# Copy beside the config.py that `adept export ... --to mmdet` wrote, and set the annotation file of your subset.
_base_ = ["./config.py"]
train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 3726, "val_interval": 3726, "_delete_": True}
train_dataloader = {"batch_size": 2, "sampler": {"type": "InfiniteSampler", "shuffle": True}}  # 8 processes: 16 images
default_hooks = {"checkpoint": {"by_epoch": False, "interval": 3726}}
log_processor = {"by_epoch": False}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 372},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 3726, "milestones": [2484, 3312], "gamma": 0.1},
]
