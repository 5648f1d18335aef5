"""Every public call refuses an option that it does not take and names the nearest, from its own signature."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform

import adept_hub
from adept_hub.arguments.calls import checked, known_options
from adept_hub.convert.options import Target, TargetOptions
from adept_hub.errors import AdeptError, UnknownOptionError
from adept_hub.loading.options import LoadOptions
from adept_hub.models.detector import assemble_detector
from adept_hub.models.options import DetectorOptions, TorchvisionOptions

ROOT = Path(__file__).parents[2]

#: Modules of the library whose every function is for users, and single functions of others.
MODULES = (
    "hubconf", "adept_hub.load", "adept_hub.exporting",
    "adept_hub.publish.push", "adept_hub.registry", "adept_hub.doctor",
    "adept_hub.convert.export", "adept_hub.integrations.url_handler",
)  # fmt: skip
FUNCTIONS = (
    "adept_hub.convert.plan:plan_for_model", "adept_hub.convert.predictors:convert_detector",
    "adept_hub.convert.options:Target", "adept_hub.frameworks.recognize:recognize", "adept_hub.hub.fetch:FetchOptions",
    "adept_hub.hub.fetch:fetch", "adept_hub.models:assemble_detector", "adept_hub.cards.published:registry_entry",
    "adept_training.labels.check:check_data", "adept_training.comparing.compare:compare",
    "adept_training.labels.datasets:open_data", "adept_training.deploying.deploy:deploy",
    "adept_training.finetuning.detector:build_detector", "adept_hub.detectors.folder:read_detector",
    "adept_training.metrics.evaluate:evaluate", "adept_training.comparing.fewshot:fewshot",
    "adept_training.finetuning.run:finetune", "adept_training.finetuning.recipe:load_finetune_recipe",
    "adept_training.pretraining.pretrain:pretrain", "adept_training.pretraining.recipe:load_recipe",
    "adept_training.images:open_images", "adept_training.proposals.show:show",
)  # fmt: skip
#: Of the modules above: what takes nothing, and helpers that other modules call with everything by place.
NOT_FOR_USERS = {
    "adept_hub.registry:registry", "adept_hub.registry:registry_files", "adept_hub.registry:read_registry",
    "adept_hub.registry:parse_registry",
}  # fmt: skip


def public_calls() -> dict[str, Any]:
    """Every public callable by its address."""
    found = {f"adept_hub:{name}": getattr(adept_hub, name) for name in adept_hub.__all__}
    for package in ("adept_hub.registry", "adept_hub.models", "adept_training.proposals"):
        module = importlib.import_module(package)
        found |= {f"{package}:{name}": getattr(module, name) for name in module.__all__}
    for place in MODULES:
        module = importlib.import_module(place)
        own = {n: v for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == place}
        found |= {f"{place}:{name}": value for name, value in own.items() if not name.startswith("_")}
    for address in FUNCTIONS:
        place, _, name = address.partition(":")
        found[address] = getattr(importlib.import_module(place), name)
    calls = {k: v for k, v in found.items() if k not in NOT_FOR_USERS and (inspect.isfunction(v) or k in FUNCTIONS)}
    return {address: call for address, call in sorted(calls.items()) if inspect.signature(call).parameters}


CALLS = public_calls()


def options_of(call: Any) -> list[str]:
    signed = call.__init__ if inspect.isclass(call) else call
    return [name for name in known_options(signed) if name != "self"]


def misspelled(word: str) -> str:
    """One letter twice and two letters exchanged, as fingers do it; never a word itself."""
    return word[0] + word[2:1:-1] + word[1] + word[3:] + word[-1] if len(word) > 3 else word + word[-1]


@pytest.mark.parametrize("address", CALLS)
def test_a_misspelled_option_is_refused_and_the_right_one_is_named(address: str) -> None:
    call = CALLS[address]
    assert inspect.isclass(call) or hasattr(call, "__wrapped__"), f"{address} is for users: decorate it with @checked"
    for option in options_of(call):
        with pytest.raises(UnknownOptionError, match=f"Did you mean .*'{option}'") as caught:
            call(**{misspelled(option): None})
        assert isinstance(caught.value, AdeptError)
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("address", CALLS)
def test_an_option_that_is_like_no_other_is_refused_with_the_list(address: str) -> None:
    with pytest.raises(UnknownOptionError, match=r"'zzqqxx'\. Its options: ") as caught:
        CALLS[address](zzqqxx=1)
    assert options_of(CALLS[address])[0] in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_the_walk_finds_what_users_call() -> None:
    assert {f"adept_hub:{name}" for name in adept_hub.__all__} - CALLS.keys() == {
        "adept_hub:LoadReport",
        "adept_hub:ModelInfo",
    }
    assert {"hubconf:adept_joint", "hubconf:adept_separate", "adept_training.proposals:run_proposals"} <= CALLS.keys()
    assert len(CALLS) > 50


# --- no option is swallowed ------------------------------------------------------------------------------------------

#: Functions that take any keyword, and why none is lost there.
FREE = {
    "adept_hub/checkpoint/config_file.py:replace_provenance": "dataclasses.replace refuses unknown fields",
    "adept_hub/convert/framework.py:remedy": "values of a template, all that it may name",
    "adept_hub/doctor.py:_finding": "hands them to remedy",
    "adept_hub/integrations/detectron2.py:_exists": "iopath's interface; its _check_kwargs refuses them",
    "adept_hub/integrations/detectron2.py:_get_local_path": "iopath's interface; its _check_kwargs refuses them",
    "adept_hub/integrations/detectron2.py:_isfile": "iopath's interface; its _check_kwargs refuses them",
    "adept_hub/integrations/detectron2.py:_open": "iopath's interface; its _check_kwargs refuses them",
    "training/adept_training/runtime/journal.py:record": "the free fields of a log line",
    "training/adept_training/planning/probing/steps.py:record": "the same, of a run that is only timed",
    "training/adept_training/pretraining/watch/outcome.py:write_outcome": "the free fields of run.json",
}


def open_functions() -> dict[str, ast.FunctionDef]:
    found = {}
    paths = [
        ROOT / "hubconf.py",
        *(ROOT / "adept_hub").rglob("*.py"),
        *(ROOT / "training/adept_training").rglob("*.py"),
    ]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None:
                found[f"{path.relative_to(ROOT).as_posix()}:{node.name}"] = node
    return found


def test_no_function_swallows_keywords() -> None:
    """``**options`` is declared as Unpack[...] and checked, or stands above with the reason why nothing is lost."""
    left = set(FREE)
    for address, node in open_functions().items():
        if address in FREE:
            left.discard(address)
            continue
        assert node.args.kwarg is not None
        hint = ast.unparse(node.args.kwarg.annotation) if node.args.kwarg.annotation else ""
        if hint == "P.kwargs":  # a decorator: what it wraps has the same signature
            continue
        decorators = {ast.unparse(decorator).lstrip("_") for decorator in node.decorator_list}
        assert "Unpack[" in hint, f"{address} takes any keyword"
        assert "checked" in decorators, f"{address} declares its keywords, and nothing compares them"
    assert not left, f"no longer there: {left}"


def test_declared_options_are_torchvisions_own_but_those_that_the_checkpoint_decides() -> None:
    theirs = set()
    for cls in (FasterRCNN, MaskRCNN, GeneralizedRCNNTransform):
        theirs |= inspect.signature(cls).parameters.keys()
    decided = {
        "backbone", "num_classes", "image_mean", "image_std", "rpn_anchor_generator", "rpn_head", "box_roi_pool",
        "box_head", "box_predictor", "mask_roi_pool", "mask_head", "mask_predictor", "kwargs",
    }  # fmt: skip
    assert set(TorchvisionOptions.__annotations__) == theirs - decided


def test_declared_options_are_those_of_the_calls_that_they_are_passed_to() -> None:
    def keywords(call: Any) -> dict[str, inspect.Parameter]:
        return {n: p for n, p in inspect.signature(call).parameters.items() if p.kind is p.KEYWORD_ONLY}

    load = keywords(adept_hub.load_pretrained)
    assert set(LoadOptions.__annotations__) - set(DetectorOptions.__annotations__) == set(load)
    hints = get_type_hints(LoadOptions)
    assert {name: hints[name] for name in load} == {
        name: hint for name, hint in get_type_hints(adept_hub.load_pretrained).items() if name in load
    }
    own = inspect.signature(assemble_detector).parameters
    assert set(DetectorOptions.__annotations__) - set(TorchvisionOptions.__annotations__) == {"anchor_sizes", "levels"}
    assert {"anchor_sizes", "levels"} <= own.keys()
    assert set(TargetOptions.__annotations__) | {"detector"} == {field.name for field in fields(Target)}


def test_numbers_of_numpy_become_python_s() -> None:
    """json and torch refuse NumPy's integers in places."""

    @checked
    def call(count: int, several: tuple[int, ...] = ()) -> tuple[object, ...]:
        return (count, *several)

    assert [type(value) for value in call(np.int64(3), several=(np.int32(4), 5))] == [int, int, int]
