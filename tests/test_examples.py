"""The examples in docstrings run as they stand, without a network."""

from __future__ import annotations

import doctest
import inspect

import pytest

import adept_hub

WITH_EXAMPLES = ("create_model", "export", "list_models", "load_detector", "load_into", "load_pretrained",
                 "load_state_dict", "model_info", "save_pretrained")  # fmt: skip


@pytest.mark.parametrize("name", adept_hub.__all__)
def test_the_examples_of_a_public_name_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    thing = getattr(adept_hub, name)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", {}, f"adept_hub.{name}", None, None)
    assert bool(test.examples) == (name in WITH_EXAMPLES)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    results = runner.run(test, out=told.append)
    assert results.failed == 0, "".join(told)
