"""The second round of proposals: hand-worked mixing, and rows that the parts of the work give one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import adept_hub
from adept_hub.cli.main import main
from adept_hub.errors import ProposalsError, SourceError
from adept_hub.models.propose import propose
from adept_training.images import decode
from adept_training.proposals import ProposalTable, run_proposals
from adept_training.proposals.refine import mix, refine_proposals

SIZES = {"a.png": (90, 60), "b.png": (64, 80), "c.png": (70, 70)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of colored squares."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        pixels_HW3 = np.full((height, width, 3), 40 + 30 * number, np.uint8)
        pixels_HW3[10:30, 12:40] = (200, 30, 40)
        pixels_HW3[35:55, 5:25] = (20, 180, 90)
        Image.fromarray(pixels_HW3).save(folder / name)
    return folder


@pytest.fixture
def table(images: Path, tmp_path: Path) -> Path:
    run_proposals(images, tmp_path / "boxes", "objects", workers=1)
    return tmp_path / "boxes"


def test_both_lists_in_turn_without_what_overlaps_a_better_box() -> None:
    known_N4 = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    regions_M4 = np.array(
        [
            [20, 0, 30, 8],  # IoU 0.8 with the second box, which comes later: this one is kept
            [0, 0, 10, 6],  # IoU 0.6 with the first box, and so kept, but not at 0.5
            [40, 0, 50, 9],  # IoU 0.9 with the third box, which has the same rank and comes first
            [60, 0, 70, 10],
        ],
        np.float32,
    )
    expected = [known_N4[0], regions_M4[0], regions_M4[1], known_N4[2], regions_M4[3]]
    assert mix(known_N4, regions_M4).tolist() == [box.tolist() for box in expected]
    assert mix(known_N4, regions_M4, 0.5).tolist() == [expected[k].tolist() for k in (0, 1, 3, 4)]
    assert mix(known_N4, regions_M4[:0]).tolist() == known_N4.tolist()
    assert mix(known_N4[:0], regions_M4).tolist() == regions_M4.tolist()


def test_rows_are_the_table_s_boxes_and_the_regions_of_the_rpn(
    images: Path, table: Path, tmp_path: Path, make_checkpoint: Callable[..., Any]
) -> None:
    weights, config, _ = make_checkpoint()
    report = refine_proposals(table, images, str(weights), tmp_path / "second", boxes=33)
    first, second = ProposalTable.open(table), ProposalTable.open(tmp_path / "second")
    assert (report.images, second.keys()) == (3, list(SIZES))
    assert second.metadata["engine"]["weights"] == config.sha256
    sizes = config.spec.anchors.sizes
    model = adept_hub.load_pretrained(
        weights, anchor_sizes=(*sizes, 2 * sizes[-1]), min_size=224, max_size=448, rpn_post_nms_top_n_test=300,
        rpn_nms_thresh=0.5,
    ).eval()  # fmt: skip
    for key, (width, height) in SIZES.items():
        image = torch.from_numpy(decode((images / key).read_bytes(), key).transpose(2, 0, 1) / np.float32(255))
        regions_M4 = propose(model, [image])[0].boxes_K4.numpy()
        w_M, h_M = regions_M4[:, 2] - regions_M4[:, 0], regions_M4[:, 3] - regions_M4[:, 1]
        usual_M = (w_M <= 5 * h_M) & (h_M <= 5 * w_M) & (np.sqrt(w_M * h_M / (width * height)) <= 0.92)
        assert 0 < usual_M.sum() < len(regions_M4)
        np.testing.assert_allclose(second.boxes(key), mix(first.boxes(key), regions_M4[usual_M])[:33], atol=1e-3)
        assert (second.size(key), second.sha256(key)) == ((width, height), first.sha256(key))


def test_a_run_resumes_and_other_weights_are_another_table(
    images: Path, table: Path, tmp_path: Path, make_checkpoint: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    weights, _, _ = make_checkpoint()
    out = tmp_path / "second"
    command = ["proposals", "refine", str(table), "--images", str(images), "--out", str(out), "--shard-size", "2"]
    assert main([*command, "--model", str(weights)]) == 0
    shard = out / "part-00001.parquet"
    before = shard.read_bytes()
    shard.unlink()
    assert main([*command, "--model", str(weights)]) == 0
    assert shard.read_bytes() == before
    assert "2 shards, 1 of them from before" in capsys.readouterr().out
    other, _, _ = make_checkpoint(half=True, folder=tmp_path / "other")
    assert main([*command, "--model", str(other)]) == 1
    assert main([*command, "--model", str(weights), "--boxes", "5"]) == 1
    assert "proposals made differently (other engine)" in capsys.readouterr().err


def test_what_cannot_be_refined(images: Path, table: Path, tmp_path: Path, make_checkpoint: Callable[..., Any]) -> None:
    weights, _, _ = make_checkpoint()
    run_proposals(images, tmp_path / "paper", "paper", workers=1)
    with pytest.raises(ProposalsError, match="have no order, because its preset is paper"):
        refine_proposals(tmp_path / "paper", images, str(weights), tmp_path / "out")
    headless, _, _ = make_checkpoint(parts=("backbone", "fpn", "head"), folder=tmp_path / "headless")
    with pytest.raises(SourceError, match="has no RPN"):
        refine_proposals(table, images, str(headless), tmp_path / "out")
    (images / "d.png").write_bytes((images / "a.png").read_bytes())
    with pytest.raises(ProposalsError, match="1 of 4 images have no proposals"):
        refine_proposals(table, images, str(weights), tmp_path / "out")
