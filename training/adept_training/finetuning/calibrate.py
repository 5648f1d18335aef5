"""Rescale the RoI head's features before fine-tuning to a length that suits the learning rate.

Contrastive pre-training normalizes features, so nothing constrains their length: a pre-trained head has features of
length 57 where a fresh one has 6. The gradient of a predictor grows with that length and its steps with the square of
it, so a learning rate that suits one head makes another diverge. The head ends in a linear layer and a ReLU: scaling
that layer scales the features and changes nothing else. A box regressor that came with the head is scaled the other
way, so that it predicts the same boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_training.finetuning.detector import loaded_regressor
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
        model: in training mode; the statistics of its norms are restored.
        batches: batches to measure on, passed to ``forward``.
        average: averages over the processes, which must all use the same scale.

    Returns:
        The previous mean lengths, one per head (Cascade R-CNN has three).
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
    for one, mean_length in zip(heads, before, strict=True):
        last = [module for module in one.modules() if isinstance(module, nn.Linear)][-1]
        if mean_length > 0:
            for parameter in last.parameters():
                parameter.mul_(length / mean_length)
    regressor = loaded_regressor(model)
    if regressor is not None and before[0] > 0:
        regressor.weight.mul_(before[0] / length)
    return before
