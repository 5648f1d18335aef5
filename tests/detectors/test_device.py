"""The device of predictions is the one that was asked for."""

from __future__ import annotations

import pytest
import torch

from adept_hub.detectors.device import find_device
from adept_hub.errors import OptionValueError


@pytest.mark.parametrize(("cuda", "mps"), [(False, False), (True, False), (False, True)])
def test_what_is_asked_for_is_used_or_refused(cuda: bool, mps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert find_device("cpu").type == "cpu"
    assert find_device("auto").type == ("cuda" if cuda else "cpu")
    for name, available in (("cuda", cuda), ("mps", mps)):
        if available:
            assert find_device(name).type == name
        else:
            with pytest.raises(OptionValueError, match=f"device='{name}' is not available here"):
                find_device(name)
    with pytest.raises(OptionValueError, match="device='cud' is not valid"):
        find_device("cud")
