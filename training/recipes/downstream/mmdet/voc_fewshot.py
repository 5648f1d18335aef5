# Table 2, Pascal VOC: Faster R-CNN on the five novel classes of a split. Copy it beside the config.py that
# `adept export SOURCE --to mmdet --norm FrozenBN --num-classes 6 --anchors rescaled --out DIR` wrote,
# and set the annotation file of your subset.
# All layers are tuned, under TFA's cosine classifier. TFA takes 4,000 iterations for 1 shot and 40,000 for 10.
_base_ = ["./config.py"]
if _base_.model["type"] != "FasterRCNN":
    raise ValueError("voc_fewshot needs: adept export SOURCE --to mmdet --norm FrozenBN --out DIR")
# 32-512 px as the paper's; the export has those of pre-training.
model = {
    "rpn_head": {"anchor_generator": {"scales": [8]}},
    "roi_head": {"bbox_head": {"num_classes": 5, "cls_predictor_cfg": {"type": "NormedLinear", "tempearture": 20}}},
}
train_pipeline = _base_.train_pipeline
for step in train_pipeline:
    if step["type"] == "Resize":
        del step["scale"]
        step.update(
            type="RandomChoiceResize",
            scales=[(1333, side) for side in (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)],
        )
train_dataloader = {
    "batch_size": 2,  # 8 processes: 16 images
    "sampler": {"type": "InfiniteSampler", "shuffle": True},
    "dataset": {"pipeline": train_pipeline},
}
train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 4000, "val_interval": 4000, "_delete_": True}
default_hooks = {"checkpoint": {"by_epoch": False, "interval": 4000}}
log_processor = {"by_epoch": False}
optim_wrapper = {"optimizer": {"lr": 0.001, "weight_decay": 1e-4}, "paramwise_cfg": {"norm_decay_mult": 0.0}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 10},
    {"type": "MultiStepLR", "by_epoch": False, "begin": 0, "end": 4000, "milestones": [3000], "gamma": 0.1},
]
