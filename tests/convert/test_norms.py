"""Folded and identity norms against torch's own batch norm, at variances where its epsilon shows."""

from __future__ import annotations

import torch
from torch import nn

from adept_hub.convert.norms import fold_into_convs, with_identity_norms

IMAGES = torch.randn(2, 5, 7, 7, generator=torch.Generator().manual_seed(0))


def _block(*, bias: bool) -> nn.Sequential:
    """A convolution and a norm in evaluation mode whose smallest variances are below epsilon, every tensor random."""
    generator = torch.Generator().manual_seed(1)
    conv, norm = nn.Conv2d(5, 6, 3, padding=1, bias=bias), nn.BatchNorm2d(6)
    for tensor in [*conv.state_dict().values(), *norm.state_dict().values()]:
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    assert norm.running_var is not None
    norm.running_var.copy_(torch.tensor([1e-7, 1e-6, 1e-5, 1e-3, 0.3, 2.0]))
    return nn.Sequential(conv, norm).eval()


def test_a_folded_norm_computes_what_torch_s_does_with_its_epsilon() -> None:
    block = _block(bias=False)
    tensors = {f"head.1.{key}": tensor for key, tensor in block.state_dict().items()}
    folded = fold_into_convs(tensors, ("head",))
    assert set(folded) == {"head.1.0.weight", "head.1.0.bias"}
    ours = nn.functional.conv2d(IMAGES, folded["head.1.0.weight"], folded["head.1.0.bias"], padding=1)
    torch.testing.assert_close(ours, block(IMAGES), rtol=1e-5, atol=1e-4)


def test_an_identity_norm_leaves_the_convolution_s_output_to_the_last_bits() -> None:
    conv = nn.Conv2d(5, 6, 3, padding=1).double()
    tensors = {f"fpn.inner_blocks.0.0.{key}": tensor for key, tensor in conv.state_dict().items()}
    given = with_identity_norms(tensors)
    block = nn.Sequential(nn.Conv2d(5, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)).double().eval()
    state = {key.removeprefix("fpn.inner_blocks.0."): tensor for key, tensor in given.items()}
    block.load_state_dict(state | {"1.num_batches_tracked": torch.tensor(0)})
    torch.testing.assert_close(block(IMAGES.double()), conv(IMAGES.double()), rtol=1e-12, atol=1e-12)
