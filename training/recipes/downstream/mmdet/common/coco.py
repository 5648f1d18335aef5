# What Table 1's protocols share, on an export for any detector. It is no protocol of its own.
_base_ = ["../config.py"]
# 32-512 px as the paper's; the export has those of pre-training.
model = {"rpn_head": {"anchor_generator": {"scales": [8]}}}
train_pipeline = _base_.train_pipeline
for step in train_pipeline:
    if step["type"] == "Resize":
        del step["scale"]
        step.update(type="RandomChoiceResize", scales=[(1333, side) for side in (640, 672, 704, 736, 768, 800)])
train_dataloader = {
    "batch_size": 2,  # 8 processes: 16 images
    "sampler": {"type": "InfiniteSampler", "shuffle": True},
    "dataset": {"pipeline": train_pipeline},
}
train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 90000, "val_interval": 90000, "_delete_": True}
default_hooks = {"checkpoint": {"by_epoch": False, "interval": 90000}}
log_processor = {"by_epoch": False}
optim_wrapper = {"optimizer": {"lr": 0.02, "weight_decay": 2.5e-5}, "paramwise_cfg": {"norm_decay_mult": 0.0}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 1000},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 90000, "milestones": [60000, 80000], "gamma": 0.1},
]
