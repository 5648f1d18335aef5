"""One step of each framework's own training: its loop or ``train_step``, its data structures, its losses."""

from __future__ import annotations

import numpy as np
import torch

LR = 1e-3
BOXES = torch.tensor([[10.0, 12.0, 60.0, 70.0], [40.0, 20.0, 120.0, 90.0]])
IMAGE = torch.randint(0, 256, (3, 96, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
MASKS = np.stack(
    [
        np.pad(np.ones((h, w), np.uint8), ((y, 96 - y - h), (x, 160 - x - w)))
        for x, y, w, h in ((10, 12, 50, 58), (40, 20, 80, 70))
    ]
)


def detectron2_step(model):
    from detectron2.engine import SimpleTrainer
    from detectron2.structures import BitMasks, Boxes, Instances
    from detectron2.utils.events import EventStorage

    instances = Instances((96, 160))
    instances.gt_boxes, instances.gt_classes = Boxes(BOXES), torch.tensor([0, 2])
    instances.gt_masks = BitMasks(torch.from_numpy(MASKS).bool())
    trainer = SimpleTrainer(
        model, [[{"image": IMAGE, "instances": instances}]], torch.optim.SGD(model.parameters(), LR)
    )
    with EventStorage() as storage:
        trainer.storage = storage
        trainer.run_step()
        return storage.latest()["total_loss"][0]


def mmdet_step(model):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.optim import OptimWrapper
    from mmengine.structures import InstanceData

    sample = DetDataSample(metainfo={"img_shape": (96, 160), "ori_shape": (96, 160), "scale_factor": (1.0, 1.0)})
    sample.gt_instances = InstanceData(bboxes=BOXES, labels=torch.tensor([0, 2]), masks=BitmapMasks(MASKS, 96, 160))
    data = {"inputs": [IMAGE.flip(0)], "data_samples": [sample]}
    losses = model.train_step(data, OptimWrapper(torch.optim.SGD(model.parameters(), LR)))
    return float(losses["loss"])


def torchvision_step(model):
    target = {"boxes": BOXES, "labels": torch.tensor([1, 3]), "masks": torch.from_numpy(MASKS)}
    total = sum(model([IMAGE / 255], [target]).values())
    total.backward()
    torch.optim.SGD(model.parameters(), LR).step()
    return float(total)


STEPS = {"detectron2": detectron2_step, "mmdet": mmdet_step, "torchvision": torchvision_step}
