# Copy beside the config.py that `adept export ... --to mmdet` wrote, and set the annotation file of your subset.
_base_ = ["./config.py"]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=3726, val_interval=3726, _delete_=True)
train_dataloader = dict(batch_size=2, sampler=dict(type="InfiniteSampler", shuffle=True))  # 8 processes: 16 images
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3726))
log_processor = dict(by_epoch=False)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=372),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=3726, milestones=[2484, 3312], gamma=0.1),
]
