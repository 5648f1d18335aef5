"""Files whose names fit no project, or several, or lack some."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import resnet18

from adept_hub.errors import CheckpointError, IncompleteLoadError, UnknownKeyError
from adept_hub.foreign.import_weights import FOREIGN_LAYOUTS, import_layout, recognize_layout
from tests.foreign import foreign
from tests.foreign.soco import parts_of, soco_file
from tests.frameworks_support import (
    SMALL,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)


def test_the_layout_that_would_fit_is_named(resnet):
    state = {foreign.vissl(key): tensor for key, tensor in resnet.items()}
    with pytest.raises(
        UnknownKeyError, match=r"matches the layout vissl: pass 'vissl:The file' \(adept import: --layout vissl\)"
    ):
        import_layout(state, "swav")


def test_a_name_that_no_layout_lists_is_never_guessed():
    state = {**resnet18().state_dict(), "surprise.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"such as 'surprise\.weight'; the closest: torchvision, timm, "):
        recognize_layout(state)
    with pytest.raises(UnknownKeyError, match=r"surprise\.weight"):
        import_layout(state, "resnet")
    with pytest.raises(CheckpointError, match="Layouts"):
        import_layout(state, "dino")


@pytest.mark.parametrize("layout", ["resnet", "soco"])
def test_deleting_or_renaming_any_tensor_is_caught(layout):
    tensors = random_tensors(SMALL)
    state = (
        soco_file(tensors, {})
        if layout == "soco"
        else FOREIGN_LAYOUTS["resnet"].table.to_target(parts_of(tensors, "backbone"))
    )
    for key, tensor in state.items():
        if "projector" in key or "predictor" in key:
            continue
        less = {k: t for k, t in state.items() if k != key}
        with pytest.raises(IncompleteLoadError):
            import_layout(less, layout)
        with pytest.raises((IncompleteLoadError, UnknownKeyError)):
            import_layout({**less, f"{key}x": tensor}, layout)


def test_a_part_that_lost_all_its_names_is_missed():
    state = {k: t for k, t in soco_file(random_tensors(SMALL), {}).items() if "neck" not in k}
    with pytest.raises(IncompleteLoadError, match="fpn"):
        import_layout(state, "soco")
