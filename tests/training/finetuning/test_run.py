"""Fine-tuning: the loop against one written here, resumption, norms, and what is left on disk."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from adept_hub.cli.main import main
from adept_hub.detectors.build import predictor_state
from adept_hub.detectors.folder import read_detector
from adept_hub.errors import DataError, OutputExistsError, ResumeError
from adept_hub.load import load_pretrained
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.norms import batch_norms, set_training
from adept_training.finetuning.recipe import load_finetune_recipe, lr_factor
from adept_training.finetuning.run import finetune
from adept_training.finetuning.samples import Batches, LabeledSamples, make_batches
from adept_training.labels.datasets import open_data
from adept_training.metrics.evaluate import evaluate
from adept_training.metrics.names import METRICS
from adept_training.runtime.state import saved_states
from tests.hostile.kills import adept, kill_before
from tests.training.conftest import TINY


@pytest.fixture
def source(make_checkpoint) -> str:
    return str(make_checkpoint()[0])


def make_fit(source: str, voc: Path, *settings: str):
    recipe = load_finetune_recipe(None, [*TINY, *settings])
    data = open_data(f"voc:{voc}")
    samples = LabeledSamples.of(data.train, False, recipe.engine.flip, recipe.engine.seed)
    model = build_detector(source, 2, recipe.detector, 0)
    return prepare(model, samples, recipe, make_fabric(recipe, "cpu")), data


def test_three_iterations_are_those_of_torchvision_s_reference_loop(source: str, voc: Path) -> None:
    settings = [
        "detector.head_norm=0",
        "schedule.iterations=30",
        "optimizer.norm_decay=0.0001",
        "optimizer.weight_decay=0.0001",
    ]
    fit, _ = make_fit(source, voc, *settings)
    train(fit, lambda step, _: step == 3)

    # references/detection/engine.py of torchvision: SGD on all parameters, linear warm-up, sum of the loss dict
    model = load_pretrained(
        source, num_classes=3, min_size=64, max_size=96, box_batch_size_per_image=32, rpn_batch_size_per_image=64,
        rpn_post_nms_top_n_train=100, anchor_sizes=(16, 24, 32, 48, 64),
    )  # fmt: skip
    torch.manual_seed(0)
    other = build_detector(source, 2, fit.recipe.detector, 0)
    model.roi_heads.box_predictor.load_state_dict(other.roi_heads.box_predictor.state_dict())
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02 * 2 / 16, momentum=0.9, weight_decay=0.0001)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.001, total_iters=3)
    loader = make_batches(fit.samples, Batches(len(fit.samples), 2, 0, 0, 3), 0)
    for step, batch in enumerate(loader):
        torch.manual_seed(step << 10)
        torch.randint(1, ())  # the draw of a side, for each image between the others
        torch.manual_seed(step << 10)
        model.transform.torch_choice = lambda sides: sides[int(torch.randint(1, ()))]
        losses = model([pixels.float() / 255 for pixels, _ in batch], [target for _, target in batch])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        warmup.step()
    ours, theirs = fit.model.state_dict(), model.state_dict()
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        torch.testing.assert_close(ours[key], tensor, rtol=1e-4, atol=1e-6, msg=key)


def test_killed_and_resumed_equals_undisturbed(source: str, voc: Path, tmp_path: Path) -> None:
    recipe = load_finetune_recipe(None, TINY)
    data = open_data(f"voc:{voc}")
    whole = finetune(source, data, recipe, tmp_path / "whole", accelerator="cpu")
    parted = finetune(source, data, recipe, tmp_path / "parted", accelerator="cpu", stop_at=2)
    assert parted.interrupted
    assert parted.iterations == 2
    with pytest.raises(OutputExistsError, match="--resume"):
        finetune(source, data, recipe, tmp_path / "parted", accelerator="cpu")
    parted = finetune(source, data, recipe, tmp_path / "parted", accelerator="cpu", resume=True, stop_at=4)
    parted = finetune(source, data, recipe, tmp_path / "parted", accelerator="cpu", resume=True)
    assert not parted.interrupted
    for name in ("best", "last"):
        for file in ("model.safetensors", "predictors.safetensors"):
            one, two = ((tmp_path / run / name / file).read_bytes() for run in ("whole", "parted"))
            assert one == two, (name, file)
    reports = [json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("whole", "parted")]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert reports[0]["validation"] == reports[1]["validation"]
    assert [at for at, _ in reports[0]["validation"]] == [3, 6]
    assert whole.report is not None
    # the last validation saw the very detector that is kept as the last, exact statistics included
    config = json.loads((tmp_path / "whole" / "evaluations.json").read_text())
    last, _ = read_detector(tmp_path / "whole" / "last")
    assert evaluate(last, data.val).flat()["AP"] == config[-1][1]

    for setting in ("optimizer.lr=0.5", "engine.flip=0.25", "engine.augment=strong", "engine.seed=9"):
        changed = load_finetune_recipe(None, [*TINY, setting])
        with pytest.raises(ResumeError, match="other recipe"):
            finetune(source, data, changed, tmp_path / "parted", accelerator="cpu", resume=True)
    fewer = data.train.subset(image.key for image in data.train.images[:2])
    with pytest.raises(ResumeError, match="other labels"):
        finetune(source, data, recipe, tmp_path / "parted", accelerator="cpu", resume=True, subset=fewer)


def test_the_command_trains_writes_and_is_a_source_again(
    source: str, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in TINY for word in ("--set", setting)]
    words = ["finetune", source, "--data", f"voc:{voc}", "--out", str(tmp_path / "run"), "--device", "cpu", *settings]
    assert main([*words, "--labels", "50%", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["iterations"] == 6
    assert {"AP", "AP50", "VOC07_AP50", "TIDE_Loc", "RPN_AR1000"} <= out["metrics"].keys()
    assert len(json.loads((tmp_path / "run" / "subset.json").read_text())["image_ids"]) == 4

    # the detector that was written gives the figures that were reported
    folder = tmp_path / "run" / out["chosen"]
    model, config = read_detector(folder)
    assert config.classes == ("blue", "red")
    again = evaluate(model, open_data(f"voc:{voc}").report_split)
    assert again.flat() == out["metrics"] == config.metrics
    # and its four parts are a source like any other
    reused = load_pretrained(folder, num_classes=5)
    torch.testing.assert_close(reused.state_dict()["rpn.head.cls_logits.weight"], model.rpn.head.cls_logits.weight)


def test_a_detector_learns(source: str, voc: Path) -> None:
    fit, data = make_fit(source, voc, "schedule.iterations=40", "optimizer.lr=0.08", "engine.batch_size=4")
    losses = []
    train(fit, lambda _, values: bool(losses.append(values["loss"])))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    with fit.precise():
        assert evaluate(fit.model, data.train).flat()["AP50"] > 20


def test_masks_are_trained(make_checkpoint, tmp_path: Path) -> None:
    from tests.training.labels.written import save, write_coco

    data = open_data(save(tmp_path, write_coco(tmp_path)))
    recipe = load_finetune_recipe(None, [*TINY, "detector.detector=mask_rcnn", "schedule.iterations=1"])
    outcome = finetune(str(make_checkpoint()[0]), data, recipe, tmp_path / "run", accelerator="cpu")
    assert outcome.report is not None
    assert set(outcome.report.flat()) == set(METRICS)
    model, _ = read_detector(tmp_path / "run" / "last")
    assert any("mask" in key for key in predictor_state(model))
    boxes_only = open_data(save(tmp_path, {**write_coco(tmp_path), "annotations": [
        {"id": 0, "image_id": 0, "category_id": 3, "bbox": [1, 2, 10, 8], "area": 80}]}))  # fmt: skip
    with pytest.raises(DataError, match="no masks"):
        finetune("scratch", boxes_only, recipe, tmp_path / "other", accelerator="cpu")


def test_cascade_is_trained_and_read_back_with_all_its_stages(source: str, voc: Path, tmp_path: Path) -> None:
    recipe = load_finetune_recipe(None, [*TINY, "detector.detector=cascade_rcnn", "schedule.iterations=2"])
    data = open_data(f"voc:{voc}")
    outcome = finetune(source, data, recipe, tmp_path / "run", accelerator="cpu")
    assert outcome.report is not None
    model, _ = read_detector(tmp_path / "run" / outcome.chosen)
    assert evaluate(model, data.report_split).flat() == outcome.report.flat()
    heads = model.roi_heads.box_head
    first, last = (head[0][0].weight for head in (heads[0], heads[2]))
    assert not torch.equal(first, last)  # each stage's own, not three copies of the first


def test_only_the_predictors_are_trained_when_asked(source: str, voc: Path) -> None:
    fit, _ = make_fit(source, voc, "optimizer.layers=last", "norms.policy=frozen", "schedule.iterations=2")
    before = {key: tensor.clone() for key, tensor in fit.model.state_dict().items()}
    train(fit, lambda *_: False)
    changed = {key for key, tensor in fit.model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {key for key in before if "predictor" in key}


def test_norms_follow_the_policy(source: str, voc: Path) -> None:
    for policy, learning in (("train", (True, True)), ("freeze_after_warmup", (True, False)), ("frozen", (False,) * 2)):
        fit, _ = make_fit(source, voc, f"norms.policy={policy}", "schedule.iterations=20")
        for step, expected in zip((0, fit.recipe.warmup), learning, strict=True):
            set_training(fit.model, fit.recipe, step)
            assert {norm.training for norm in batch_norms(fit.model)} == {expected}
            assert fit.model.training


def test_the_head_s_features_get_the_length_of_a_fresh_head_s(source: str, voc: Path) -> None:
    lengths = {}
    for norm in (0.0, 6.0):
        fit, _ = make_fit(source, voc, f"detector.head_norm={norm}", "norms.precise_batches=4")
        seen: list[torch.Tensor] = []
        fit.model.roi_heads.box_head.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out.norm(dim=1)))
        with fit.precise():  # the same batches with the same draws as the calibration's
            lengths[norm] = torch.cat(seen).mean().item()
        if norm == 0:
            kept = {key: tensor.clone() for key, tensor in fit.model.state_dict().items()}
            continue
        scale = norm / lengths[0.0]
        for key, tensor in fit.model.state_dict().items():
            factor = scale if key in ("roi_heads.box_head.5.weight", "roi_heads.box_head.5.bias") else 1
            torch.testing.assert_close(tensor, kept[key] * factor if factor != 1 else kept[key], msg=key)
    assert lengths[6.0] == pytest.approx(6, rel=1e-3)
    assert abs(lengths[0.0] - 6) > 0.3


def test_precise_statistics_are_means_and_are_put_back(source: str, voc: Path) -> None:
    fit, _ = make_fit(source, voc, "norms.precise_batches=3")
    norm = fit.model.backbone.body.bn1
    before = norm.running_mean.clone()
    seen: list[torch.Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean(dim=(0, 2, 3))))
    with fit.precise():
        hook.remove()
        assert len(seen) == 3
        torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(0))
    assert torch.equal(norm.running_mean, before)
    assert norm.momentum == 0.1


def test_bf16_keeps_every_coordinate_in_float32(source: str, voc: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        fit, _ = make_fit(source, voc, f"engine.precision={precision}")
        seen = []
        fit.model.rpn.register_forward_hook(lambda _, __, output, seen=seen: seen.extend(output[0]))
        fit.model.roi_heads.box_head.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
        train(fit, lambda _, values, p=precision: bool(losses.setdefault(p, values["loss"])))
        *proposals, features = seen[:3]
        assert {boxes.dtype for boxes in proposals} == {torch.float32}
        assert features.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


def test_rate_is_scaled_warmed_and_stepped() -> None:
    recipe = load_finetune_recipe(None, ["schedule.iterations=90000", "engine.batch_size=8"])
    assert recipe.peak_lr == pytest.approx(0.01)
    assert lr_factor(0, recipe) == pytest.approx(0.001)
    assert lr_factor(500, recipe) == pytest.approx(0.5005)
    factors = [lr_factor(step, recipe) for step in (1000, 59_999, 60_000, 79_999, 80_000, 89_999)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    automatic = load_finetune_recipe().resolved(118_287, accelerator=True)
    assert (automatic.engine.batch_size, automatic.schedule.iterations) == (16, 88715)
    assert load_finetune_recipe().resolved(10, accelerator=False).schedule.iterations == 500


@pytest.mark.slow
def test_a_run_that_is_killed_outright_ends_with_the_same_bits(source: str, voc: Path, tmp_path: Path) -> None:
    settings = [*TINY, "engine.checkpoint_minutes=0", "schedule.iterations=8"]
    words = [word for setting in settings for word in ("--set", setting)]
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    words = ["finetune", source, "--data", f"voc:{voc}", "--device", "cpu", *words, "--out"]
    kill_before(adept, *words, str(folder), into=folder / "checkpoints", count=5)
    assert saved_states(folder / "checkpoints")[-1].stem == "step-00000002"
    assert not (folder / "last").exists()
    assert main([*words, str(folder), "--resume"]) == main([*words, str(whole)]) == 0
    for name in ("best", "last"):
        for file in ("model.safetensors", "predictors.safetensors"):
            assert (folder / name / file).read_bytes() == (whole / name / file).read_bytes(), (name, file)


@pytest.mark.slow
def test_two_processes_make_one_run(source: str, voc: Path, tmp_path: Path) -> None:
    settings = [word for setting in [*TINY, "schedule.iterations=2"] for word in ("--set", setting)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "adept_hub.cli.main", "finetune", source, "--data", f"voc:{voc}", "--out", str(tmp_path / "run")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *settings, "--json"], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["iterations"] == 2  # one report, from the first process
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if r["kind"] == "train"] == [1, 2]
    read_detector(tmp_path / "run" / "last")


@pytest.mark.parametrize(("fast", "precision", "said"), [(True, "fp32", 1), (True, "bf16", 0), (False, "fp32", 0)])
def test_a_cpu_that_is_faster_in_bfloat16_is_told(
    fast: bool, precision: str, said: int, source: str, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adept_training.finetuning.run.computes_bfloat16", lambda: fast)
    recipe = load_finetune_recipe(None, [*TINY, f"engine.precision={precision}", "engine.evaluations=0"])
    stream = io.StringIO()
    finetune(source, open_data(f"voc:{voc}"), recipe, tmp_path / "r", stop_at=1, stream=stream, accelerator="cpu")
    assert stream.getvalue().count("--bf16") == said
