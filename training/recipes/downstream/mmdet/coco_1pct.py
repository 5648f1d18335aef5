# Copy beside the config.py that `adept export ... --to mmdet` wrote, and set the annotation file of your subset.
_base_ = ["./config.py"]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=9000, val_interval=9000, _delete_=True)
train_dataloader = dict(batch_size=2, sampler=dict(type="InfiniteSampler", shuffle=True))  # 8 processes: 16 images
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=9000))
log_processor = dict(by_epoch=False)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=900),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=9000, milestones=[6000, 8000], gamma=0.1),
]
