"""The length of the RoI head's features, brought to one that a learning rate suits before fine-tuning.

Contrastive pre-training normalizes features, so nothing keeps their length: a head of ours left its pre-training with
features of length 57 where a fresh one has 6. A predictor's gradient grows with that length and its steps with the
square of it, so a learning rate that suits one head makes another diverge. The head ends in a linear layer and a ReLU:
scaling that layer scales the features and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_training.finetuning.norms import precise_statistics


@torch.no_grad()
def calibrate_head(
    model: GeneralizedRCNN,
    batches: Iterable[object],
    forward: Callable[[object], object],
    length: float,
    average: Callable[[Tensor], Tensor],
) -> list[float]:
    """Scale the last linear layer of every box head so that its features have the mean length ``length``.

    Args:
        model: in training mode; its norms' statistics are put back.
        batches: what to measure on, by ``forward``.
        average: over the processes, which must all scale alike.

    Returns:
        The lengths before, one for each head (Cascade R-CNN has three).
    """
    head = model.roi_heads.box_head
    heads = list(head) if isinstance(head, nn.ModuleList) else [head]
    seen: list[list[Tensor]] = [[] for _ in heads]

    def remember(store: list[Tensor]) -> Callable[[object, object, Tensor], None]:
        return lambda _, __, features_KD: store.append(features_KD.float().norm(dim=1))

    handles = [one.register_forward_hook(remember(store)) for one, store in zip(heads, seen, strict=True)]
    with precise_statistics(model, batches, forward):
        pass
    for handle in handles:
        handle.remove()
    before = [float(average(torch.cat(store).mean())) for store in seen]
    for one, found in zip(heads, before, strict=True):
        last = [module for module in one.modules() if isinstance(module, nn.Linear)][-1]
        if found > 0:
            for parameter in last.parameters():
                parameter.mul_(length / found)
    return before
