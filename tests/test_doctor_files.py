"""``adept doctor`` on files from elsewhere: nothing in them is executed, and whatever is wrong is one short error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.convert.options import Target
from adept_hub.doctor import diagnose_file
from adept_hub.errors import CheckpointError
from adept_hub.frameworks import FRAMEWORKS, MMDET
from adept_hub.frameworks.detectron2.config import config_yaml
from adept_hub.frameworks.mmdet.config import config_py
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK, mmdet_facts
from adept_hub.frameworks.read_facts import facts_of_file
from tests.frameworks_support import LARGE, config_of, register_mmdet

STOCK = dict(MMDET_STOCK)


@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
@pytest.mark.parametrize("field", ["model", "MODEL", "_base_", "_BASE_"])
def test_no_yaml_runs_code(framework: str, field: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / "evil.yaml"
    path.write_text(f"{field}: !!python/object/apply:os.system ['touch {mark}']\n")
    with pytest.raises(CheckpointError, match="is not valid YAML"):
        facts_of_file(path, FRAMEWORKS[framework], run_config=True)
    assert not mark.exists()


def test_a_python_config_runs_on_request_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "base.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nmodel = {STOCK!r}\n")
    (tmp_path / "mine.yaml").write_text("_base_: base.py\nmodel: {neck: {out_channels: 128}}\n")
    for name in ("base.py", "mine.yaml"):
        assert main(["doctor", str(tmp_path / name), "--target", "mmdet"]) == 1
        told = capsys.readouterr().err
        assert "--run-config" in told
        assert len(told.splitlines()) <= 3
    assert not mark.exists()


@pytest.mark.frameworks
def test_a_python_config_that_was_allowed_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register_mmdet()
    (tmp_path / "base.py").write_text(f"model = {STOCK!r}\n")
    (tmp_path / "mine.yaml").write_text("_base_: base.py\nmodel: {neck: {out_channels: 64}}\n")
    (tmp_path / "broken.py").write_text("model = undefined_name\n")
    assert main(["doctor", str(tmp_path / "mine.yaml"), "--target", "mmdet", "--run-config", "--json"]) == 1
    assert "fpn_channels" in {f["code"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert main(["doctor", str(tmp_path / "broken.py"), "--target", "mmdet", "--run-config"]) == 1
    assert "cannot be run" in capsys.readouterr().err


def test_yaml_and_json_need_no_mmengine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmengine", None)
    (tmp_path / "stock.json").write_text(json.dumps({"model": STOCK}))
    (tmp_path / "neck.yaml").write_text("model: {neck: {out_channels: 64, num_outs: 5}}\n")
    (tmp_path / "mine.yaml").write_text(
        "_base_: [stock.json, neck.yaml]\nmodel: {backbone: {_delete_: true, depth: 18, frozen_stages: 3}}\n"
    )
    assert facts_of_file(tmp_path / "stock.json", MMDET) == mmdet_facts(MMDET_STOCK)
    found = facts_of_file(tmp_path / "mine.yaml", MMDET)
    assert (found.depth, found.frozen_stages, found.fpn_channels) == (18, 3, 64)
    # what _delete_ dropped has MMDetection's default, not the base's
    assert found.backbone_norm == "BN"


_WHOLE = config_yaml(config_of(LARGE), Target(), "/w.pth")
MALFORMED = {
    "mean of one": _WHOLE.replace("PIXEL_MEAN: [123.675, 116.28, 103.53]", "PIXEL_MEAN: [1.0]"),
    "mean of words": _WHOLE.replace("PIXEL_MEAN: [123.675, 116.28, 103.53]", "PIXEL_MEAN: [a, b, c]"),
    "mean of none": _WHOLE.replace("PIXEL_MEAN: [123.675, 116.28, 103.53]", "PIXEL_MEAN: [.nan, 116.28, 103.53]"),
    "depth in words": _WHOLE.replace("DEPTH: 50", "DEPTH: fifty"),
    "no anchors": _WHOLE.replace("SIZES: [[", "SIZES: []  # [["),
    "a level without anchors": "MODEL: {ANCHOR_GENERATOR: {SIZES: [[], [64], [128], [256], [512]]}}",
    "a number for a mapping": "MODEL: 3",
    "a list for a mapping": "MODEL: {RPN: [1, 2]}",
    "convolutions by number": "MODEL: {RPN: {CONV_DIMS: 3}}",
    "an expression": "MODEL: {ANCHOR_GENERATOR: {SIZES: '__import__(\"os\")'}}",
    "nested": "MODEL: " + "[" * 20000,
    "digits": "MODEL: {RESNETS: {DEPTH: " + "9" * 5000 + "}}",
    "a day that is none": "MODEL: 2001-99-99",
    "based on itself": "_BASE_: mine.yaml\nMODEL: {}",
    "based on a number": "_BASE_: 3\nMODEL: {}",
    "based on nothing": "_BASE_: absent.yaml\nMODEL: {}",
    "not UTF-8": "MODEL: \udcff",
    "a list": "- MODEL",
    "empty": "",
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
def test_malformed_configs(case: str, framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    text = MALFORMED[case] if framework == "detectron2" else MALFORMED[case].replace("MODEL", "model")
    assert text not in ("", _WHOLE) or case == "empty"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert main(["doctor", str(path), "--target", framework]) == 1
    told = capsys.readouterr().err
    assert str(path.name) in told
    assert "Traceback" not in told
    assert len(told) < 1000
    with pytest.raises(CheckpointError):
        diagnose_file(path, config_of(LARGE), framework)


@pytest.mark.parametrize(
    "change",
    [
        {"data_preprocessor": {"mean": 3}},
        {"data_preprocessor": None},
        {"backbone": {"depth": "18", "norm_cfg": {}}},
        {"backbone": {"norm_cfg": {"requires_grad": True}}},
        {"rpn_head": {}},
        {"rpn_head": {"anchor_generator": {"ratios": [1.0], "strides": 4}}},
        {"rpn_head": {"anchor_generator": {"ratios": 1.0, "strides": [4], "scales": [8]}}},
        {"rpn_head": {"anchor_generator": {"ratios": [1.0], "strides": [4], "scales_per_octave": 0}}},
        {"roi_head": {"bbox_head": []}},
        {"roi_head": None},
    ],
    ids=str,
)
def test_malformed_mmdet_models(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"model": STOCK | change}))
    with pytest.raises(CheckpointError, match=r"mine\.json"):
        diagnose_file(path, config_of(LARGE), "mmdet")


def test_warnings_alone_are_no_failure(make_checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, config, _ = make_checkpoint()
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(config, Target(anchors="downstream"), "/w.pth"))
    words = ["doctor", str(path), "--target", "detectron2", "--weights", str(folder)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "0 errors, 2 warnings" in told
    (remedy,) = [line for line in told.splitlines() if line.startswith("To get a config without these disagreements:")]
    assert f"adept export {folder} --to detectron2" in remedy
    path.write_text(path.read_text().replace('FORMAT: "RGB"', 'FORMAT: "BGR"'))
    assert main(words) == 1
    assert main([*words, "--json"]) == 1
    told = capsys.readouterr().out
    assert json.loads(told[told.index("{") :])["errors"] == 1


def test_help_says_what_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    assert ".yaml and .json are never executed" in " ".join(capsys.readouterr().out.split())
    assert "model = dict(" in config_py(config_of(LARGE), Target()), "an export for MMDetection is a Python config"
