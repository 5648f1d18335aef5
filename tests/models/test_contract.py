"""What a spec promises, and each way in which tensors can break the promise."""

from __future__ import annotations

import pytest
import torch

from adept_hub.errors import IncompleteLoadError, ShapeMismatchError, UnknownKeyError
from adept_hub.models.contract import check_tensors, expected_tensors, part_of
from adept_hub.spec import DetectorSpec
from tests.conftest import SMALL

SHAPES = {key: shape for key, (shape, _) in expected_tensors(SMALL).items()}


def test_shapes_by_hand() -> None:
    expected = expected_tensors(DetectorSpec(depth=50))
    assert expected["backbone.conv1.weight"] == ((64, 3, 7, 7), torch.float32)
    assert expected["fpn.inner_blocks.3.0.weight"] == ((256, 2048, 1, 1), torch.float32)
    assert expected["rpn.cls_logits.weight"] == ((3, 256, 1, 1), torch.float32)
    assert expected["rpn.bbox_pred.bias"] == ((12,), torch.float32)
    assert expected["head.5.weight"] == ((1024, 256 * 7 * 7), torch.float32)
    assert expected["head.0.1.num_batches_tracked"] == ((), torch.int64)


@pytest.mark.parametrize("key", list(SHAPES))
def test_any_single_tensor_missing_renamed_or_reshaped_is_caught(key: str) -> None:
    rest = {k: v for k, v in SHAPES.items() if k != key}
    with pytest.raises(IncompleteLoadError, match="1 of 200 tensors are missing"):
        check_tensors(rest, SMALL)
    with pytest.raises(UnknownKeyError):
        check_tensors(rest | {f"{key}_": SHAPES[key]}, SMALL)
    with pytest.raises(ShapeMismatchError):
        check_tensors(rest | {key: (*SHAPES[key], 1)}, SMALL)


def test_a_lost_part_is_named() -> None:
    with pytest.raises(IncompleteLoadError, match="the whole rpn"):
        check_tensors({k: v for k, v in SHAPES.items() if part_of(k) != "rpn"}, SMALL)


def test_only_promised_parts_are_asked_for() -> None:
    check_tensors({k: v for k, v in SHAPES.items() if part_of(k) != "rpn"}, SMALL, ("backbone", "fpn", "head"))
    with pytest.raises(UnknownKeyError):
        check_tensors(SHAPES, SMALL, ("backbone", "fpn", "head"))


def test_a_key_of_no_part_is_refused() -> None:
    with pytest.raises(UnknownKeyError, match="neck"):
        part_of("neck.conv.weight")
