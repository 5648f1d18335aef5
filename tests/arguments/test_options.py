"""Values of options: of the right type or refused in words, iterables of any kind, and what a word means."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import adept_hub
from adept_hub.convert.options import Target
from adept_hub.errors import (
    AdeptError,
    IncompleteLoadError,
    OptionTypeError,
    OptionValueError,
    SourceError,
    UnknownOptionError,
    UnknownPartError,
    UnsupportedDetectorError,
)
from adept_hub.hub.fetch import FetchOptions
from adept_hub.models import assemble_detector
from tests.conftest import random_parts

SMALLEST = "adept_joint_r18_fpn128"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": "3"}, r"num_classes='3'\) is a str; it takes int\.\nWrite num_classes=3\."),
        ({"num_classes": 3.0}, r"num_classes=3\.0\) is a float; it takes int\."),
        ({"num_classes": True}, r"num_classes=True\) is a bool; it takes int\."),
        ({"num_classes": None}, "is a NoneType; it takes int"),
        ({"num_classes": [3]}, "is a list; it takes int"),
        ({"offline": "yes"}, "offline='yes'.* is a str; it takes bool or None"),
        ({"offline": "true"}, r"\nWrite offline=True\."),
        ({"offline": 1}, "is an int; it takes bool or None"),
        ({"parts": 4}, "is an int; it takes str or a list of str"),
        ({"parts": ("rpn", 4)}, "is a tuple; it takes str or a list of str"),
        ({"parts": b"rpn"}, "is a bytes; it takes str or a list of str"),
        ({"revision": 1.2}, "is a float; it takes str or None"),
        ({"cache_dir": b"x"}, "is a bytes; it takes str or a path or None"),
        ({"token": 7}, "is an int; it takes str or bool or None"),
        ({"detector": 2}, "is an int; it takes 'faster_rcnn' or"),
        ({"box_detections_per_img": "100"}, r"\nWrite box_detections_per_img=100\."),
        ({"box_score_thresh": "0.5"}, r"\nWrite box_score_thresh=0\.5\."),
        ({"min_size": 0.5}, "is a float; it takes int or a list of int"),
        ({"fixed_size": (3,)}, r"it takes 2 values \(int, int\) or None"),
        ({"anchor_sizes": "32"}, "it takes a list of float"),
    ],
)
def test_a_value_of_another_type_is_refused_before_anything_is_done(options: dict[str, Any], message: str) -> None:
    for call in (adept_hub.load_pretrained, adept_hub.create_model):
        with pytest.raises(OptionTypeError, match=message) as caught:
            call("a_name_that_no_registry_has", **options)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, AdeptError)
        assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adept_hub.load_into("model", SMALLEST), r"load_into\(model='model'\) is a str; it takes Module\."),
        (lambda: adept_hub.load_into(torch.nn.Linear(1, 1), 3), "it takes str or a path"),
        (lambda: adept_hub.load_into(torch.nn.Linear(1, 1), SMALLEST, fold_norms="no"), "it takes bool"),
        (lambda: adept_hub.load_into(torch.nn.Linear(1, 1)), r"load_into\(\) needs 'source'\."),
        (
            lambda: adept_hub.load_pretrained(SMALLEST, 21),
            r"takes 1 positional arguments, not 2\.\nKeyword arguments",
        ),
        (lambda: adept_hub.load_pretrained(SMALLEST, source=SMALLEST), "'source' twice"),
        (lambda: adept_hub.model_info(3), "it takes str"),
        (lambda: adept_hub.is_model(None), "it takes str"),
        (lambda: adept_hub.list_models(pretrained=1), "it takes bool"),
        (lambda: adept_hub.list_models([1]), "it takes str or a list of str"),
        (lambda: adept_hub.create_model(SMALLEST, "yes"), "it takes bool"),
        (lambda: adept_hub.export(SMALLEST, "mmdet", 3), "it takes str or a path"),
        (lambda: adept_hub.push_to_hub("x", "a/b", private="no"), "it takes bool"),
        (lambda: adept_hub.save_pretrained(torch.nn.Linear(1, 1), "x", name=None), "it takes str"),
        (lambda: Target(num_classes="3"), r"Target\(num_classes='3'\) is a str; it takes int"),
        (lambda: FetchOptions(offline="yes"), "it takes bool or None"),
    ],
)
def test_every_call_checks_its_own_types(call: Callable[[], object], message: str) -> None:
    with pytest.raises(OptionTypeError, match=message):
        call()


def test_numbers_of_other_libraries_are_numbers() -> None:
    parts = random_parts()
    model = assemble_detector(parts, np.int64(4), box_score_thresh=np.float32(0.5), anchor_sizes=[8, 16, 32, 64, 128])
    assert model.roi_heads.box_predictor.cls_score.out_features == 4
    assert model.rpn.anchor_generator.sizes[0] == (8,)


# --- words that were swallowed ---------------------------------------------------------------------------------------


def test_create_model_with_pretrained_loads_and_without_builds(make_checkpoint) -> None:
    folder, config, parts = make_checkpoint()
    loaded = adept_hub.create_model(folder, pretrained=True, num_classes=7)
    assert torch.equal(loaded.rpn.head.cls_logits.bias, parts.rpn.cls_logits.bias)
    assert (loaded.load_report.loaded, loaded.checkpoint_config) == (200, config)
    assert loaded.roi_heads.box_predictor.cls_score.out_features == 7
    only = adept_hub.create_model(folder, True, parts="fpn")
    assert torch.equal(only.backbone.fpn.inner_blocks[0][0].weight, parts.fpn.inner_blocks[0][0].weight)
    assert (only.load_report["fpn"].loaded, only.load_report["rpn"].loaded) == (48, 0)

    built = adept_hub.create_model(SMALLEST, pretrained=False, num_classes=7)
    assert not built.rpn.head.cls_logits.bias.any()
    assert built.roi_heads.box_predictor.cls_score.out_features == 7


def test_a_detector_without_weights_is_the_one_that_weights_would_be_loaded_into() -> None:
    """Anchors too: load_pretrained's default are those of pre-training, not a framework's."""
    for anchors in ("pretraining", "downstream"):
        loaded = adept_hub.load_pretrained("adept_joint", anchors=anchors, num_classes=3)
        built = adept_hub.create_model("adept_joint", anchors=anchors, num_classes=3)
        assert built.rpn.anchor_generator.sizes == loaded.rpn.anchor_generator.sizes
        shapes = [{key: t.shape for key, t in model.state_dict().items()} for model in (loaded, built)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("option", [{"parts": "rpn"}, {"revision": "v2"}])
def test_options_that_choose_weights_need_weights(option: dict[str, str]) -> None:
    with pytest.raises(OptionValueError, match=r"Load them: create_model\('adept_joint', pretrained=True, "):
        adept_hub.create_model("adept_joint", **option)


def test_other_libraries_options_are_answered() -> None:
    with pytest.raises(UnknownOptionError, match=r"no option 'device'\. .*model\.to\('cuda'\)"):
        adept_hub.load_pretrained(SMALLEST, device="cuda")
    with pytest.raises(UnknownOptionError, match=r"no option 'num_clases'\. Did you mean 'num_classes'"):
        adept_hub.create_model(SMALLEST, num_clases=3)
    with pytest.raises(UnknownOptionError, match=r"no option 'image_mean'\. The checkpoint determines it"):
        adept_hub.load_pretrained(SMALLEST, image_mean=[0, 0, 0])
    with pytest.raises(UnknownOptionError, match=r"create_model\(NAME, pretrained=False\)"):
        adept_hub.load_pretrained(SMALLEST, pretrained=False)


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        "rpn", ["rpn"], ("rpn",), {"rpn"}, (part for part in ["rpn"]), iter(["rpn"]), dict.fromkeys(["rpn"]).keys(),
        np.array(["rpn"]), ["rpn", "rpn"],
    ],
)  # fmt: skip
def test_parts_may_be_one_word_or_any_iterable(make_checkpoint, parts: Any) -> None:
    folder, _, module = make_checkpoint()
    model = adept_hub.load_pretrained(folder, parts=parts)
    assert torch.equal(model.rpn.head.cls_logits.bias, module.rpn.cls_logits.bias)
    assert [row.part for row in model.load_report.parts if row.loaded] == ["rpn"]


def test_a_generator_serves_every_call_that_takes_parts(make_checkpoint, tmp_path) -> None:
    folder, _, module = make_checkpoint()

    def some() -> Any:
        yield from ("fpn", "backbone")

    assert {key.split(".")[0] for key in adept_hub.load_state_dict(folder, parts=some())} == {"backbone", "fpn"}
    model = adept_hub.load_pretrained(folder, num_classes=3)
    with torch.no_grad():
        model.backbone.body.conv1.weight.zero_()
    report = adept_hub.load_into(model, folder, parts=some())
    assert torch.equal(model.backbone.body.conv1.weight, module.backbone.conv1.weight)
    assert [row.part for row in report.parts if row.loaded] == ["backbone", "fpn"]
    config = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn32.some", parts=some())
    assert config.parts == ("backbone", "fpn")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("backbon", "There is no part 'backbon'. Did you mean 'backbone'"),
        ("neck", r"There is no part 'neck'\.\nParts are: backbone, fpn, rpn, head"),
        (("rpn", "haed"), "Did you mean 'head'"),
        ((), "parts is empty"),
        (iter(()), "parts is empty"),
        ("", "no part ''"),
    ],
)
def test_words_that_are_no_parts_are_refused_everywhere(make_checkpoint, tmp_path, parts: Any, message: str) -> None:
    folder, _, _ = make_checkpoint()
    model = adept_hub.load_pretrained(folder)
    for call in (
        lambda: adept_hub.load_pretrained(folder, parts=parts),
        lambda: adept_hub.load_state_dict(folder, parts=parts),
        lambda: adept_hub.load_into(model, folder, parts=parts),
        lambda: adept_hub.export(folder, "mmdet", tmp_path / "out", parts=parts),
        lambda: adept_hub.save_pretrained(model, tmp_path / "new", name="adept_joint_r18_fpn32.x", parts=parts),
    ):
        with pytest.raises(UnknownPartError, match=message) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    assert not (tmp_path / "new").exists()


# --- choices ---------------------------------------------------------------------------------------------------------


def test_choices_are_refused_before_anything_is_fetched() -> None:
    nowhere = "hf-hub:nobody/nothing"
    for call, message in (
        (lambda: adept_hub.load_pretrained(nowhere, detector="fastr_rcnn"), "Did you mean 'faster_rcnn'"),
        (lambda: adept_hub.load_pretrained(nowhere, anchors="downstraem"), "Did you mean 'downstream'"),
        (lambda: adept_hub.load_pretrained(nowhere, levels="stcok"), "Did you mean 'stock'"),
        (lambda: adept_hub.load_pretrained(nowhere, num_classes=1), "num_classes=2 for a single class"),
        (lambda: adept_hub.load_state_dict(nowhere, framework="mmdetection"), "Did you mean .*'mmdet'"),
        (lambda: adept_hub.load_state_dict(nowhere, framework="mmdet", norm="SycnBN"), "Did you mean 'SyncBN'"),
        (lambda: adept_hub.export(nowhere, "detectron", "out"), "Did you mean 'detectron2'"),
    ):
        with pytest.raises(UnsupportedDetectorError, match=message):
            call()


def test_an_unknown_method_is_not_an_empty_list() -> None:
    with pytest.raises(OptionValueError, match=r"method='adept_jont' is not valid\. Did you mean 'adept_joint'"):
        adept_hub.list_models(method="adept_jont")
    assert adept_hub.list_models("nothing*", method="scratch") == []


def test_options_that_change_nothing_under_canonical_names_are_refused(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    for options in ({"norm": "none"}, {"anchors": "rescaled"}, {"detector": "cascade_rcnn"}):
        with pytest.raises(OptionValueError, match="framework='torchvision'"):
            adept_hub.load_state_dict(folder, **options)
        assert adept_hub.load_state_dict(folder, framework="torchvision", **options)


def test_a_revision_of_what_has_none_is_refused(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    for source in (folder, f"local-dir:{folder}", "adept_joint"):
        with pytest.raises(SourceError, match=r"revision 'v2': .*\n.*hf-hub:org/repo"):
            adept_hub.load_state_dict(source, revision="v2")
    with pytest.raises(SourceError, match="'' is no"):
        adept_hub.load_state_dict("hf-hub:org/repo", revision="")
    with pytest.raises(SourceError, match="has another revision than revision='v2'"):
        adept_hub.load_state_dict("hf-hub:org/repo@v1", revision="v2")


def test_a_path_object_is_a_source_everywhere(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()

    class Fspath:
        def __fspath__(self) -> str:
            return str(folder)

    assert isinstance(Fspath(), os.PathLike)
    assert adept_hub.create_model(Fspath(), pretrained=True).load_report.loaded == 200


def test_the_remedy_for_a_checkpoint_without_an_rpn_works(make_checkpoint, tmp_path, monkeypatch, capsys) -> None:
    """Followed to the letter, in Python and on the command line, to a detector that builds."""
    from adept_hub.cli.main import main

    folder, _, parts = make_checkpoint(parts=("backbone", "fpn", "head"), method="soco")
    for asked in (("backbone", "fpn", "rpn", "head"), ("rpn",)):
        with pytest.raises(IncompleteLoadError) as caught:
            adept_hub.export(folder, "torchvision", tmp_path / "out", parts=asked)
        remedy = str(caught.value).splitlines()[-1]
        assert "parts=('backbone', 'fpn', 'head') (adept export: --parts backbone fpn head)" in remedy
    words = remedy.partition("(adept export: ")[2].rstrip(")").split()
    assert main(["export", str(folder), "--to", "torchvision", "--out", str(tmp_path / "out"), *words]) == 0
    assert set(adept_hub.load_state_dict(folder, framework="mmdet", parts=("backbone", "fpn", "head")))
    monkeypatch.syspath_prepend(tmp_path / "out")
    import build_model

    model = build_model.build_model(num_classes=3)
    assert torch.equal(model.backbone.fpn.inner_blocks[0][0].weight, parts.fpn.inner_blocks[0][0].weight)
    assert not model.rpn.head.cls_logits.bias.any()
    monkeypatch.delitem(sys.modules, "build_model")


def test_create_model_hands_every_option_of_a_pretrained_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that is meant to stay offline must, and a revision that was asked for must be the one that comes."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr("adept_hub.load.load_pretrained", lambda name, **options: seen.update(options, name=name))
    asked: dict[str, Any] = {
        "num_classes": 7, "detector": "mask_rcnn", "parts": ("fpn", "rpn"), "anchors": "stock", "revision": "b" * 40,
        "cache_dir": "elsewhere", "offline": True, "token": False, "max_size": 640,
    }  # fmt: skip
    known = set(inspect.signature(adept_hub.load_pretrained).parameters)
    adept_hub.create_model("hf-hub:org/x", pretrained=True, **asked)
    assert seen == asked | {"name": "hf-hub:org/x"}
    assert known - {"name", "options"} <= set(asked), "an option is new"
