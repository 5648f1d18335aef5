"""The page about runs: figures, pictures and commands are those of the logs. It is read as a browser would.

Legend: N photographs.
"""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adept_hub.cli.main import main
from adept_training.pages.plotting import lines_plot, smoothed
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.watch.log import RunLog, read_log
from adept_training.pretraining.watch.pictures import as_record, read_watched, write_sheet
from adept_training.pretraining.watch.probe import HeldOut
from adept_training.pretraining.watch.report import figures, write_report
from tests.training.support import tiny


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.cells: list[str] = []
        self._open = ""
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open = tag
        self.links += [value or "" for name, value in attrs if name in ("src", "href") or name.endswith(":href")]

    def handle_data(self, data: str) -> None:
        if self._open in ("td", "pre", "p", "th"):
            self.cells.append(data)


def _run(folder: Path, rate: float, *settings: str, done: bool = True) -> Path:
    folder.mkdir()
    recipe = tiny("method.rpn.reaches_backbone=false", *settings)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    records: list[dict[str, object]] = [
        {"kind": "start", "step": 0, "steps": 40, "images": 1234, "held_out": 2, "processes": 1,
         "asked": {**vars(Asked("my photos", "boxes", None, ("tensorboard",)))}},
        {"kind": "held_out", "boxes": [[[8.0, 8.0, 24.0, 24.0]], [[0.0, 0.0, 10.0, 10.0]]]},
    ]  # fmt: skip
    for step in range(1, 41):
        records.append({"kind": "train", "step": step, "loss": -rate * step, "lr": 0.5, "data_wait": 0.25,
                        "retrieval": 0.125, "epoch": step / 3})  # fmt: skip
        if step in (1, 40):
            probe = {"target_recall100_iou50": 0.25 + step / 100, "online_recall100_iou50": 0.99}
            records.append({"kind": "probe", "step": step, **probe})
            box = [32.0, 32.0, 56.0, 48.0] if step == 1 else [16.0, 40.0, 40.0, 60.0]
            records.append({"kind": "proposals", "step": step, "boxes": [[box], []]})
    if done:
        records.append({"kind": "end", "step": 40, "seconds": 61.0, "interrupted": False})
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pixels = torch.full((2, 64, 64, 3), 90, dtype=torch.uint8)
    write_sheet(HeldOut(pixels, (torch.zeros(1, 4), torch.zeros(1, 4))), folder / "held_out.png")
    return folder


def test_one_run(tmp_path: Path) -> None:
    folder = _run(tmp_path / "r", 0.1)
    Image.new("RGB", (30, 20), "#123456").save(folder / "preview.png")
    write_report([folder], folder / "report.html")
    page = _Page(folder / "report.html")
    assert "script" not in page.tags
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in page.links), "nothing is fetched"
    assert page.tags.count("svg") == 5, "loss, retrieval, recall, learning rate, data wait: what there are data of"
    assert any(cell.endswith("Done: 40 of 40 steps (13.33 epochs), 1:01.") for cell in page.cells)
    assert any("1,234 images" in cell and "64, 64, 32" in cell for cell in page.cells)
    for value in ("-3.8", "0.125", "0.26", "0.65", "25.0%"):
        assert value in page.cells
    assert f"adept finetune {folder}/export --data DATA --out {folder}/finetune" in "".join(page.cells)
    assert "smooth_l1_beta" in page.source
    pictures = [base64.b64decode(link.partition(",")[2]) for link in page.links if link.startswith("data:")]
    preview, watched, _ = (Image.open(io.BytesIO(content)).convert("RGB") for content in pictures)
    assert preview.size == (30, 20)
    scale, after = 240 / 64, 246
    for left, x, y in ((0, 32, 40), (after, 16, 50)):
        red, green, blue = watched.getpixel((left + round(x * scale) + 1, round(y * scale)))
        assert red > 150, "the left edge of the proposal, which is three pixels wide"
        assert max(green, blue) < 130
    for left in (0, after):
        column = [min(watched.getpixel((left + x, round(16 * scale)))) for x in range(28, 33)]
        assert max(column) > 150, "the left edge of the table's box, white"


def test_an_svg_holds_the_points_and_the_line_of_chance() -> None:
    """Read back from the path: the line's points lie on the axes as the values do."""
    svg = lines_plot({"a": ([0, 1, 2], [0.0, 1.0, 4.0])}, marks={"chance": 0.5}, zero=True)
    ET.fromstring(svg)
    groups = re.findall(r'<g id="line2d_\d+">\s*<path d="([^"]+)"[^>]*style="([^"]+)"', svg)
    curve = next(d for d, style in groups if "#0072b2" in style)
    points = np.array(re.findall(r"[ML] (\S+) (\S+)", curve), dtype=float)
    np.testing.assert_allclose(np.diff(points[:, 0]) / np.diff(points[:, 0])[0], 1, atol=1e-3)
    np.testing.assert_allclose(np.diff(points[:, 1])[1] / np.diff(points[:, 1])[0], 3, atol=1e-3)
    dotted = next(d for d, style in groups if "stroke-dasharray" in style and "#555555" in style)
    height = float(re.findall(r"[ML] \S+ (\S+)", dotted)[0])
    assert height == pytest.approx((points[0, 1] + points[1, 1]) / 2, abs=1e-2), "0.5 lies midway between 0 and 1"


def test_smoothing_keeps_the_beginning_and_calms_the_end() -> None:
    assert smoothed([1, 2, 3, 4, 5], 2) == [1, 2, 3, 3.5, 4]
    assert smoothed([9, 0, 0, 0, 9], 1) == [9, 3, 0, 3, 4.5]


def test_several_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = _run(tmp_path / "a" / "r", 0.1)
    two = _run(tmp_path / "b" / "r", 0.2, "method.boxes=ss+rpn", done=False)
    with pytest.raises(SystemExit) as caught:
        main(["report", str(one), str(two)])
    assert caught.value.code == 2
    assert main(["report", str(one), str(two), "--out", str(tmp_path / "both.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["state"] for run in told["runs"]] == ["done", "unfinished"]
    assert [run["loss"] for run in told["runs"]] == pytest.approx([-3.8, -7.6])
    page = _Page(tmp_path / "both.html")
    text = "".join(page.cells)
    assert re.search(r"a/r: [^\n]+\n[^\n]*Done: 40 of 40 steps", text)
    assert "b/r: Still running, or killed, at 40 of 40 steps" in text
    row = page.cells.index("Boxes that the RPN finds")
    assert page.cells[row + 1 : row + 3] == ["0.26 → 0.65"] * 2
    start = page.cells.index("method.boxes")
    assert page.cells[start : start + 3] == ["method.boxes", "ss", "ss+rpn"]
    assert "method.rpn.reaches_backbone" not in page.cells, "only what differs"
    resume = f"adept pretrain --images 'my photos' --out {two} --proposals boxes --track tensorboard --resume"
    assert resume in text


def test_figures_are_of_the_exported_network(tmp_path: Path) -> None:
    run = _run(tmp_path / "r", 0.1)
    assert figures(read_log(run))["target_recall100_iou50"] == 0.65
    online = _run(tmp_path / "o", 0.1, "export.network=online")
    assert figures(read_log(online))["online_recall100_iou50"] == 0.99


def test_watched_photographs_come_back(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    boxes = (torch.tensor([[1.04, 2, 3, 4]]), torch.zeros(0, 4), torch.ones(2, 4))
    write_sheet(HeldOut(pixels, boxes), tmp_path / "held_out.png")
    records = [{"kind": "held_out", "boxes": as_record(boxes)}, {"kind": "proposals", "step": 7, "boxes": [[], [], []]}]
    watched = read_watched(tmp_path, records)
    assert watched is not None
    np.testing.assert_array_equal(watched.pixels_NSS3, pixels.numpy())
    assert watched.boxes_N == [[[1.0, 2, 3, 4]], [], [[1, 1, 1, 1]] * 2]
    assert watched.proposals == {7: [[], [], []]}
    assert read_watched(tmp_path, []) is None
    assert isinstance(read_log(_run(tmp_path / "r", 1.0)), RunLog)
