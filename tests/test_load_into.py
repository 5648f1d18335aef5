"""load_into: all of every promised part, or a model that is bit for bit what it was."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import adept_hub
from adept_hub.errors import IncompleteLoadError, UnsupportedModelError
from adept_hub.models import DetectorParts, assemble_detector
from tests.conftest import SMALL
from tests.load_checks import assert_loaded, assert_same, contents, mine, refused

# --- what cannot be written is refused before anything is -------------------------------------------------------------


def test_the_meta_device_holds_nothing(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    with torch.device("meta"):
        model = assemble_detector(DetectorParts(SMALL), 5)
    with pytest.raises(UnsupportedModelError, match=r"meta device.*\n.*to_empty"):
        adept_hub.load_into(model, folder)
    report = adept_hub.load_into(model.to_empty(device="cpu"), folder)
    assert_loaded(model, parts)
    assert report.loaded == 200


def test_one_tensor_on_the_meta_device_is_enough(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    model.roi_heads.box_head[5].weight = nn.Parameter(torch.empty(64, 32 * 49, device="meta"))
    before = {key: t.clone() for key, t in model.state_dict().items() if not t.is_meta}
    with pytest.raises(UnsupportedModelError, match=r"roi_heads\.box_head\.5\.weight' is on the meta device"):
        adept_hub.load_into(model, folder)
    assert all(torch.equal(t, model.state_dict()[key]) for key, t in before.items())


def test_values_that_are_still_missing_elsewhere_are_reported(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = mine()
    model.roi_heads.box_predictor.to("meta")
    report = adept_hub.load_into(model, folder)
    assert_loaded(model, parts)
    assert "4 tensors are on the meta device" in str(report)


def test_tied_tensors_cannot_hold_two_values(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    model.backbone.fpn.layer_blocks[2] = model.backbone.fpn.layer_blocks[0]
    refused(
        model, folder, r"layer_blocks\.0\.0\.weight' and '.*layer_blocks\.2\.0\.weight' are one tensor in your model"
    )
    report = adept_hub.load_into(model, folder, parts=("backbone", "rpn", "head"))
    assert report["fpn"].loaded == 0


def test_tied_tensors_that_should_be_equal_are_loaded_and_counted_once(make_checkpoint) -> None:
    """Cascade's three heads start as one; a model may well share them."""
    folder, _, parts = make_checkpoint()
    model = mine("cascade_rcnn")
    model.roi_heads.box_head[1] = model.roi_heads.box_head[2] = model.roi_heads.box_head[0]
    report = adept_hub.load_into(model, folder)
    for key, tensor in parts.head.state_dict().items():
        assert torch.equal(model.roi_heads.box_head[2].state_dict()[key], tensor)
    assert report["head"].bytes == sum(t.nbytes for t in parts.head.state_dict().values())


def test_overlapping_memory_is_found_when_it_is_read_back(make_checkpoint) -> None:
    """Neither the same view nor disjoint: only the values show it."""
    folder, _, _ = make_checkpoint()
    model = mine()
    buffer = torch.randn(40)
    norms = [model.backbone.fpn.inner_blocks[i][1] for i in (0, 1)]
    norms[0].weight, norms[1].weight = nn.Parameter(buffer[:32]), nn.Parameter(buffer[8:])
    before = contents(model)
    with pytest.raises(IncompleteLoadError, match=r"does not have the checkpoint's values.*\nThe model is as it was"):
        adept_hub.load_into(model, folder)
    assert_same(model, before)


def test_a_tensor_that_shares_memory_with_a_loaded_one_is_reported(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = mine()
    model.roi_heads.box_predictor.copy_of_bias = model.rpn.head.cls_logits.bias
    report = adept_hub.load_into(model, folder, parts=("rpn",))
    assert torch.equal(model.roi_heads.box_predictor.copy_of_bias, parts.rpn.cls_logits.bias)
    assert "roi_heads.box_predictor.copy_of_bias changed too" in str(report)


def test_flat_memory_without_overlap_is_fine(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = mine()
    flat = torch.zeros(sum(p.numel() for p in model.parameters()))
    at = 0
    for parameter in model.parameters():
        parameter.data = flat[at : at + parameter.numel()].view_as(parameter)
        at += parameter.numel()
    report = adept_hub.load_into(model, folder)
    assert_loaded(model, parts)
    assert report.notes == ()


@pytest.mark.parametrize(
    ("dtype", "message"), [(torch.int32, "int32 values, which cannot hold the checkpoint's float32"),
                           (torch.float8_e4m3fn, "float8_e4m3fn values, which cannot hold"),
                           (torch.complex64, "complex64 values, which cannot hold")],
)  # fmt: skip
def test_another_kind_of_number(make_checkpoint, dtype: torch.dtype, message: str) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    head = model.roi_heads.box_head[5]
    head.weight = nn.Parameter(torch.zeros(head.weight.shape).to(dtype), requires_grad=False)
    refused(model, folder, message)


def test_a_number_that_half_precision_cannot_hold(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    parts.backbone.bn1.running_var[3] = 70000.0
    floats = sum(t.is_floating_point() for t in parts.state_dict().values())
    adept_hub.save_pretrained(assemble_detector(parts, 3), folder, name="adept_joint_r18_fpn32.l", overwrite=True)
    refused(mine().half(), folder, r"float16 values, too small for 70000")
    model = mine().bfloat16()
    report = adept_hub.load_into(model, folder)
    assert_loaded(model, parts)
    assert f"{floats} tensors were rounded to bfloat16" in str(report)
    assert adept_hub.load_into(mine().double(), folder).notes == ()


def test_tensors_of_inference_mode_cannot_be_written(make_checkpoint) -> None:
    folder, _, parts = make_checkpoint()
    model = mine()
    with torch.inference_mode():
        model.rpn.head.bbox_pred.weight = nn.Parameter(torch.randn(12, 32, 1, 1))
    refused(model, folder, r"bbox_pred\.weight' was created in torch\.inference_mode")
    model = mine()
    with torch.inference_mode():
        adept_hub.load_into(model, folder)
    assert_loaded(model, parts)


def test_read_only_memory_does_not_end_the_process(make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint()
    np.save(tmp_path / "w.npy", np.ones((12, 32, 1, 1), np.float32))
    model = mine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that the array is not writable, and goes on
        mapped = torch.from_numpy(np.load(tmp_path / "w.npy", mmap_mode="r"))
    model.rpn.head.bbox_pred.weight = nn.Parameter(mapped)
    refused(model, folder, r"bbox_pred\.weight' is in read-only memory")


def test_expanded_sparse_and_foreign_tensors(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    model.rpn.head.bbox_pred.bias = nn.Parameter(torch.zeros(1).expand(12))
    refused(model, folder, "is expanded")
    model = mine()
    model.rpn.head.bbox_pred.bias = nn.Parameter(torch.ones(12).to_sparse(), requires_grad=False)
    with pytest.raises(UnsupportedModelError, match="is not a plain tensor"):
        adept_hub.load_into(model, folder)

    class Packed(Tensor):
        pass

    model = mine()
    model.rpn.head.bbox_pred.bias = nn.Parameter(torch.ones(12).as_subclass(Packed))
    refused(model, folder, "is a Packed")


def test_a_lazy_module_has_nothing_to_copy_into(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    model.roi_heads.box_head[5] = nn.LazyLinear(64)
    with pytest.raises(UnsupportedModelError, match=r"2 tensors have no shape yet.*\n"):
        adept_hub.load_into(model, folder)


def test_a_state_dict_of_copies_is_not_the_model(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    model.register_state_dict_post_hook(
        lambda module, state, *_: state.update({k: t.clone() for k, t in state.items()})
    )
    refused(model, folder, r"state_dict\(\) returns a copy of")


# --- a failure in the middle is undone --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [1, 100, 200])
def test_a_copy_that_fails_in_the_middle_leaves_no_trace(
    make_checkpoint, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int
) -> None:
    folder, _, _ = make_checkpoint()
    model = mine()
    before, copy, calls = contents(model), Tensor.copy_, []

    def failing(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(1)
        if len(calls) == at:
            self.view(-1)[:3].fill_(123)  # half written
            raise error
        return copy(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "copy_", failing)
    expected = IncompleteLoadError if isinstance(error, Exception) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        adept_hub.load_into(model, folder)
    monkeypatch.undo()
    assert len(calls) > at, "nothing was restored"
    assert_same(model, before)
    if expected is IncompleteLoadError:
        assert "The model is as it was before." in str(caught.value)
        assert type(error).__name__ in str(caught.value)


def test_a_copy_that_does_nothing_is_not_reported_as_loaded(make_checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the report says is read from the model: names and shapes are right here, and no byte arrives."""
    folder, _, _ = make_checkpoint()
    model = mine()
    before = contents(model)
    monkeypatch.setattr(Tensor, "copy_", lambda self, *args: self)
    with pytest.raises(IncompleteLoadError, match="does not have the checkpoint's values"):
        adept_hub.load_into(model, folder)
    monkeypatch.undo()
    assert_same(model, before)


# --- what is loaded is what is reported -------------------------------------------------------------------------------
