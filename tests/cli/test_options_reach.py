"""Every option of a command, at a value that is no default, arrives in the call that does the work."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adept_hub.cli.main import main
from adept_hub.hub.fetch import FetchOptions

RECIPE = (
    "--recipe mine.yaml --set engine.seed=3 --set optimizer.lr=9 --detector mask_rcnn --iterations 7 --batch-size 6 "
    "--lr 0.5 --augment strong --size 400 --bf16 --device cpu"
)
#: The shorthands after ``--set``, so that they take precedence; 400 * 1333 / 800 = 666.5, which rounds to even.
SETTINGS = [
    "engine.seed=3", "optimizer.lr=9", "detector.detector=mask_rcnn", "schedule.iterations=7", "engine.batch_size=6",
    "optimizer.lr=0.5", "engine.augment=strong", "detector.train_sides=[400]", "detector.test_side=400",
    "detector.max_side=666", "engine.precision=bf16",
]  # fmt: skip
HUB = "--revision v2 --cache-dir cache --offline"

CASES: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    (
        f"export hf-hub:o/n --to mmdet --out out --detector mask_rcnn --num-classes 7 --norm BN --anchors rescaled "
        f"--levels pretraining --parts fpn head {HUB}",
        "adept_hub.exporting.export",
        ("hf-hub:o/n", "mmdet", Path("out")),
        {"detector": "mask_rcnn", "num_classes": 7, "norm": "BN", "anchors": "rescaled", "levels": "pretraining",
         "parts": ["fpn", "head"], "revision": "v2", "cache_dir": "cache", "offline": True},
    ),
    (f"pull hf-hub:o/n {HUB} --force", "adept_hub.hub.fetch.fetch",
     ("hf-hub:o/n", FetchOptions("v2", "cache", True, None, True)), {}),
    (f"card hf-hub:o/n {HUB}", "adept_hub.hub.fetch.fetch", ("hf-hub:o/n", FetchOptions("v2", "cache", True)), {}),
    ("verify hf-hub:o/n --cache-dir cache", "adept_hub.hub.fetch.fetch",
     ("hf-hub:o/n", FetchOptions(None, "cache", True)), {}),
    ("doctor some_name --target mmdet --offline", "adept_hub.hub.fetch.fetch",
     ("some_name", FetchOptions(offline=True)), {}),
    ("doctor config.yaml --target mmdet --weights other", "adept_hub.hub.fetch.fetch", ("other", FetchOptions()), {}),
    ("list b* --method soco", "adept_hub.cli.list_models.list_models", ("b*",),
     {"method": "soco", "pretrained": True}),
    ("push run o/n --private --create-pr --revision v2 --message hello --license mit --relicense "
     "--dry-run", "adept_hub.publish.push.push_to_hub",
     (Path("run"), "o/n"),
     {"private": True, "create_pr": True, "revision": "v2", "message": "hello", "license": "mit",
      "relicense": True, "dry_run": True}),
    (
        "pretrain --images photos --method soco --out run --recipe mine.yaml --proposals boxes --init start "
        "--layout soco --minutes 9 --license mit --relicense --resume --wait --set engine.seed=3 "
        "--set data.workers=1 --preview --track tensorboard --track mlflow --device cpu",
        "adept_training.calls.pretraining.pretrain",
        ("photos", Path("run")),
        {"recipe": "mine.yaml", "method": "soco", "proposals": Path("boxes"), "init": "start",
         "layout": "soco", "minutes": 9.0,
         "resume": True, "wait": True, "license": "mit", "relicense": True,
         "settings": ["engine.seed=3", "data.workers=1"], "trackers": ["tensorboard", "mlflow"], "preview": True,
         "device": "cpu"},
    ),
    (
        "plan photos --minutes 9 --data a b --data c --skip-damaged --recipe mine.yaml --set engine.seed=3 --out run "
        "--quiet",
        "adept_training.planning.planner.plan",
        ("photos",),
        {"minutes": 9.0, "data": ["a", "b", "c"], "skip_damaged": True, "recipe": "mine.yaml",
         "settings": ["engine.seed=3"], "out": "run", "progress": None},
    ),
    (
        f"finetune start --data a b --data c --skip-damaged --out run --labels 5shot --unlabeled more --like other "
        f"--resume --license mit --relicense --wait {RECIPE}",
        "adept_training.calls.finetuning.finetune",
        ("start", ["a", "b", "c"], Path("run")),
        {"recipe": "mine.yaml", "labels": "5shot", "unlabeled": "more", "like": "other", "resume": True, "wait": True,
         "skip_damaged": True, "device": "cpu", "license": "mit", "relicense": True, "settings": SETTINGS},
    ),
    (
        f"compare one two --data a b --skip-damaged --out dir --fractions 0.1,20% --image-counts 3,4 --shots 5 "
        f"--seeds 7 --metric AP75 --wait {RECIPE}",
        "adept_training.calls.comparing.compare",
        (["one", "two"], ["a", "b"], Path("dir")),
        {"budgets": ["5shot", "3img", "4img", "10%", "20%"], "seeds": 7, "metric": "AP75", "recipe": "mine.yaml",
         "wait": True, "skip_damaged": True, "device": "cpu", "settings": SETTINGS, "command": "adept typed"},
    ),
    ("deploy run --to onnx --out out --batch 5", "adept_training.deploying.deploy.deploy",
     (Path("run/best"), "onnx", Path("out"), "5"), {}),
    (
        "proposals photos --out table --preset soco --workers 3 --engine ray --shard-size 77 --strict --wait --quiet",
        "adept_training.proposals.run.run_proposals",
        ("photos", Path("table"), "soco"),
        {"workers": 3, "engine": "ray", "strict": True, "shard_size": 77, "progress": None, "wait": True},
    ),
    ("proposals show table --images photos --out pictures --samples 5", "adept_training.proposals.show.show",
     ("table", "photos", Path("pictures")), {"samples": 5}),
    ("data check a b --quick", "adept_training.labels.check.check_data", (["a", "b"],), {"decode_all": False}),
    ("data subset a b --labels 3img --out dir --skip-damaged", "adept_training.labels.datasets.open_data",
     (["a", "b"],), {"skip_damaged": True}),
    ("data convert a b --to voc --out dir --images link --skip-damaged",
     "adept_training.converting.convert.convert_data", (["a", "b"], "voc", Path("dir")),
     {"images": "link", "skip_damaged": True}),
    ("plan photos --minutes 9 --data a b --data c --skip-damaged --recipe mine.yaml --set engine.seed=3 --out run "
     "--quiet",
     "adept_training.planning.planner.plan", ("photos",),
     {"minutes": 9.0, "data": ["a", "b", "c"], "recipe": "mine.yaml", "settings": ["engine.seed=3"], "out": "run",
      "skip_damaged": True, "progress": None}),
    ("report one two --out page.html", "adept_training.pretraining.watch.report.write_report",
     ([Path("one"), Path("two")], Path("page.html")), {}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _existing_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every path of the commands exist: they are checked before the call."""
    for name in ("photos", "more", "start", "other", "one", "two", "run", "x", "mine", "a", "b", "some_name"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)


class ReachedError(Exception):
    """The call that does the work, with what it was given."""


def reached(monkeypatch: pytest.MonkeyPatch, words: str, target: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Run a command up to the call of ``target`` and return its arguments."""
    importlib.import_module(target.rpartition(".")[0])

    def work(*args: Any, **kwargs: Any) -> None:
        raise ReachedError(args, kwargs)

    monkeypatch.setattr(target, work)
    monkeypatch.setattr(sys, "argv", ["adept", "typed"])
    with pytest.raises(ReachedError) as caught:
        main(words.split())
    return caught.value.args[0], caught.value.args[1]


@pytest.mark.parametrize(("words", "target", "args", "kwargs"), CASES, ids=[case[0].split()[0] for case in CASES])
def test_every_option_arrives(
    words: str, target: str, args: tuple[Any, ...], kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    if words.startswith("deploy"):
        (tmp_path / "run" / "best").mkdir(parents=True)
        for name in ("detector.json", "config.json"):
            (tmp_path / "run" / "best" / name).write_text("{}")
    found, named = reached(monkeypatch, words, target)
    if target.endswith("run_proposals"):
        found = (*found[:2], found[2].name)
    assert found == args
    assert ("stream" in named) is words.startswith(("pretrain", "finetune"))
    assert {name: value for name, value in named.items() if name != "stream"} == kwargs


@pytest.mark.parametrize(
    ("words", "target", "name", "default"),
    [
        ("pretrain --images x --out run", "adept_training.calls.pretraining.pretrain", "license", "unstated"),
        ("finetune x --data a --out run", "adept_training.calls.finetuning.finetune", "license", "unstated"),
        ("finetune x --data a --out run", "adept_training.calls.finetuning.finetune", "settings", []),
        ("compare x --data a --out dir", "adept_training.calls.comparing.compare", "budgets", ["1%", "10%", "100%"]),
        ("compare x --data a --out dir", "adept_training.calls.comparing.compare", "seeds", 5),
        ("compare x --data a --out dir", "adept_training.calls.comparing.compare", "metric", "AP"),
        ("proposals x --out table", "adept_training.proposals.run.run_proposals", "shard_size", 512),
        ("proposals x --out table", "adept_training.proposals.run.run_proposals", "workers", None),
        ("proposals show table --images x --out p", "adept_training.proposals.show.show", "samples", 12),
        ("data check a", "adept_training.labels.check.check_data", "decode_all", True),
        ("export x --to mmdet --out out", "adept_hub.exporting.export", "detector", "faster_rcnn"),
    ],
)
def test_what_an_option_that_is_left_out_means(
    words: str, target: str, name: str, default: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reached(monkeypatch, words, target)[1][name] == default


def test_one_source_is_compared_with_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "adept_training.calls.comparing.compare"
    for words, sources in (("mine", ["scratch", "mine"]), ("scratch", ["scratch"]), ("a b", ["a", "b"])):
        assert reached(monkeypatch, f"compare {words} --data a --out dir", target)[0][0] == sources


def test_what_is_chosen_for_proposals_changes_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "adept_training.proposals.run.run_proposals"
    words = "proposals x --out table --preset objects --boxes 33 --sizes 8%..40%"
    preset = reached(monkeypatch, words, target)[0][2]
    assert (preset.objects.most, preset.objects.sizes) == (33, (0.08, 0.4))
    words = "proposals x --out table --preset fixed --min-scale 0.15"
    for unique in ("", " --unique"):
        preset = reached(monkeypatch, words + unique, target)[0][2]
        assert preset.filter.min_scale == 0.15
    assert not preset.keep_duplicates


def data_of(asked: list[Any]) -> Callable[..., Any]:
    """Return an ``open_data`` of three named splits."""

    def open_data(words: list[str], *, skip_damaged: bool) -> Any:
        asked.append((words, skip_damaged))
        splits = {name: SimpleNamespace(name=name) for name in ("train", "val", "test")}
        return SimpleNamespace(**splits, split=lambda name: splits[name or "test"], spec="spec")

    return open_data


def test_evaluate_hands_split_side_and_device_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("adept_training.labels.datasets.open_data", data_of(asked))
    monkeypatch.setattr("adept_hub.hub.fetch.fetch", lambda source: None)
    words = "evaluate some_name --data a b --skip-damaged --split val --size 96 --device cpu"
    found, named = reached(monkeypatch, words, "adept_training.calls.finetuning.evaluate_source")
    source, split, recipe, device = found
    assert (source, split.name, device, named) == ("some_name", "val", "cpu", {})
    assert (recipe.detector.test_side, recipe.detector.max_side) == (96, 160)
    assert asked == [(["a", "b"], True)]


def test_fewshot_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("adept_training.labels.datasets.open_data", data_of(asked))
    words = (
        "fewshot a=scratch b=scratch --data x --skip-damaged --out dir --shots 2,3 --seeds 4 --layers last --metric AP "
        "--wait " + RECIPE.replace("--recipe mine.yaml ", "").replace("mask_rcnn", "faster_rcnn")
    )
    found, named = reached(monkeypatch, words, "adept_training.comparing.fewshot.fewshot")
    sources, data, out, shots, seeds, recipe, layers = found
    assert (sources, data.spec, out, shots, seeds) == ({"a": "scratch", "b": "scratch"}, "spec", Path("dir"), [2, 3], 4)
    assert layers == ["last"]
    assert (recipe.engine.seed, recipe.schedule.iterations, recipe.optimizer.lr, recipe.engine.batch_size) == (
        3,
        7,
        0.5,
        6,
    )
    assert named == {"metric": "AP", "command": "adept typed", "accelerator": "cpu", "wait": True}
    assert asked == [(["x"], True)]


def test_tune_hands_images_split_and_number_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("adept_training.labels.datasets.open_data", data_of(asked))
    monkeypatch.setattr("adept_training.images.open_images", lambda words: f"images of {words}")
    target = "adept_training.proposals.recall.tune.tune"
    for words, split, boxes in (("", "train", 50), (" --split val --boxes 9", "val", 9)):
        found, named = reached(monkeypatch, f"proposals tune photos --data a --skip-damaged --quiet{words}", target)
        assert (found[0], found[1].name) == ("images of photos", split)
        assert named == {"boxes": boxes, "progress": None}
    assert asked == [(["a"], True)] * 2


def test_predict_hands_every_option_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("adept_training.predicting.source.open_one_or_many", lambda images: f"images of {images}")
    monkeypatch.setattr("adept_hub.detectors.load.load_detector", lambda one, *, device: (one, device))
    words = "predict one two photos --out out --score 0.125 --most 7 --batch-size 3 --format csv yolo --device cpu"
    found, named = reached(monkeypatch, words, "adept_training.predicting.write.predict_images")
    predictors, source, out, options, title, command, stream = found
    assert (predictors, source, out) == ([("one", "cpu"), ("two", "cpu")], "images of photos", Path("out"))
    assert (options.score, options.most, options.batch_size, options.formats) == (0.125, 7, 3, ("csv", "yolo"))
    assert (title, command, named) == ("one and two", "adept typed", {})
    assert stream is not None
