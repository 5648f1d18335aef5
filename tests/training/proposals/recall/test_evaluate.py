"""Recall of a table against numbers worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.cli.main import main
from adept_hub.errors import ProposalsError
from adept_training.images import content_hash
from adept_training.labels.datasets import open_data
from adept_training.proposals import ProposalTable
from adept_training.proposals.fallbacks import fallback_warning
from adept_training.proposals.recall.blind_grid import blind_grid
from adept_training.proposals.recall.evaluate import SIZES, evaluate_proposals, match_images, recall_of
from adept_training.proposals.recall.worst import worst_images, write_sheet
from adept_training.proposals.search.presets import PRESETS
from adept_training.proposals.table.shards import (
    PLAN_FILE,
    ProposalRow,
    TablePlan,
    keys_digest,
    write_atomically,
    write_shard,
)
from tests.training.labels.written import save, write_coco

# The objects of every image are a dog at 1, 2, 11, 10 and a cat at 2, 2, 12, 10: IoU 72/88 = 0.82 with each other.
DOG, CAT, FAR = [1, 2, 11, 10], [2, 2, 12, 10], [25, 15, 35, 25]
LOOSE = [1, 2, 11, 15]  # IoU 80/130 = 0.62 with the dog, 72/138 = 0.52 with the cat


def write_table(folder: Path, images: Path, boxes: dict[str, list], fallback: tuple[str, ...] = ()) -> ProposalTable:
    """A table whose keys are not the names of the labeled files."""
    folder.mkdir()
    rows = [
        ProposalRow(
            f"copied/{name}", 40, 30, np.array(of, np.float32), name in fallback,
            content_hash((images / name).read_bytes()),
        )
        for name, of in boxes.items()
    ]  # fmt: skip
    preset = PRESETS["objects"].as_dict()
    plan = TablePlan(len(rows), 512, keys_digest(row.key for row in rows), preset, {"name": "made"}, "none")
    write_atomically(folder / PLAN_FILE, plan.as_json().encode())
    write_shard(folder, plan, 0, rows, [])
    return ProposalTable.open(folder)


@pytest.fixture
def labeled(tmp_path) -> str:
    write_coco(tmp_path, 3)
    return f"coco:{tmp_path / 'train.json'}:{tmp_path / 'train'}"


@pytest.fixture
def table(tmp_path, labeled) -> ProposalTable:
    boxes = {"0.png": [FAR] * 12 + [CAT], "1.png": [LOOSE, FAR], "2.png": [[0, 0, 40, 30]]}
    return write_table(tmp_path / "table", tmp_path / "train", boxes, fallback=("2.png",))


def test_recall_by_hand(table, labeled):
    """Among ten boxes, only the loose box of image 1 covers: both objects at 0.5, none at 0.7. Then image 0's cat box
    covers the cat, and the dog at 0.82."""
    found = evaluate_proposals(table, open_data(labeled).train)
    assert (found.images, found.objects, found.missing, found.fallbacks) == (3, 6, 0, 1)
    ten, thirty = found.rows[:2]
    assert (ten.limit, ten.boxes) == (10, pytest.approx(13 / 3))
    assert (ten.recall.iou50, ten.recall.iou70) == (pytest.approx(100 / 3), 0)
    assert (thirty.limit, thirty.boxes) == (30, pytest.approx(16 / 3))
    assert (thirty.recall.iou50, thirty.recall.iou70) == (pytest.approx(200 / 3), pytest.approx(100 / 3))
    # IoU 0.5 counts 4 of 6, 0.55 and 0.6 three, 0.65 to 0.8 two, 0.85 to 0.95 one.
    assert thirty.recall.average == pytest.approx(100 * (4 + 2 * 3 + 4 * 2 + 3 * 1) / 60)


def test_thresholds_are_inclusive(labeled):
    images = open_data(labeled).train.images[:2]
    found = recall_of(images, [np.array([0.499, 0.5]), np.array([0.7, 0.699])])
    assert (found.iou50, found.iou70) == (75, 25)
    assert (found.class50, found.class70) == (75, 25)


def test_classes_weigh_the_same_and_crowds_do_not_count(tmp_path):
    content = write_coco(tmp_path, 2)
    cats = [annotation for annotation in content["annotations"] if annotation["category_id"] == 7]
    cats[0]["iscrowd"] = 1  # of image 0
    spec = save(tmp_path, content)
    boxes = {"0.png": [LOOSE], "1.png": [FAR]}
    found = evaluate_proposals(write_table(tmp_path / "t", tmp_path / "train", boxes), open_data(spec).train)
    assert found.objects == 3
    assert found.rows[0].recall.iou50 == pytest.approx(100 / 3)
    assert found.rows[0].recall.class50 == pytest.approx(100 * (1 / 2 + 0) / 2)


def test_sizes_are_shares_of_the_image(tmp_path):
    content = write_coco(tmp_path, 2)
    for annotation in content["annotations"]:
        annotation["bbox"] = [[1, 2, 3, 3], [2, 2, 30, 25]][annotation["category_id"] == 7]
    spec = save(tmp_path, content)
    boxes = {"0.png": [[2, 2, 32, 27]], "1.png": [[1, 2, 4, 5]]}
    found = evaluate_proposals(write_table(tmp_path / "t", tmp_path / "train", boxes), open_data(spec).train)
    assert found.rows[0].recall.by_size == {"small": 50.0, "large": 50.0}
    assert SIZES["small"][1] == SIZES["medium"][0]


def test_the_grid_has_as_many_boxes_as_the_table_and_is_blind(table, labeled):
    found = evaluate_proposals(table, open_data(labeled).train)
    other = evaluate_proposals(table, open_data(labeled).train)
    assert found.rows[0].grid == other.rows[0].grid
    assert found.rows[1].grid.iou50 < 100


@pytest.mark.parametrize("size", [(400, 300), (90, 500), (64, 64), (7, 3)])
@pytest.mark.parametrize("count", [1, 2, 7, 50, 200])
def test_a_grid_is_inside_the_image_and_of_the_count(size, count):
    boxes = blind_grid(size, count)
    assert boxes.shape == (count, 4)
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= np.array(size) * 1.0001).all()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides[:, 0] == pytest.approx(sides[:, 1], rel=1e-3)


def test_fifty_boxes_of_a_grid_by_hand():
    """1/0.2 : 1/0.4 : 1/0.7 of 50 are 28, 14 and 8."""
    sides = blind_grid((300, 200), 50)
    sides = sides[:, 2] - sides[:, 0]
    assert [int((np.abs(sides - side) < 0.1).sum()) for side in (40, 80, 140)] == [28, 14, 8]


def test_images_are_known_by_content_and_a_stranger_is_counted(tmp_path, labeled):
    table = write_table(tmp_path / "t", tmp_path / "train", {"1.png": [DOG]})
    judged, missing = match_images(table, open_data(labeled).train)
    assert ([one.image.file_name for one in judged], missing) == (["1.png"], 2)
    Image.new("RGB", (40, 30)).save(tmp_path / "train/1.png")
    with pytest.raises(ProposalsError, match="for none of the 3 labeled images"):
        match_images(table, open_data(labeled).train)


def test_the_worst_images_come_first_on_the_sheet(tmp_path, table, labeled):
    judged, _ = match_images(table, open_data(labeled).train)
    assert [one.image.file_name for one in worst_images(judged, 10, 2)] == ["0.png", "2.png"]
    assert [one.image.file_name for one in worst_images(judged, 50, 9)] == ["2.png", "0.png", "1.png"]
    write_sheet(judged, tmp_path / "new/sheet.png", limit=50)
    sheet = Image.open(tmp_path / "new/sheet.png")
    assert sheet.size == (3 * 306, 306)
    # The middle of the upper edge of the dog at 7.5 pixels to one: missed in image 2, covered in image 0.
    assert sheet.getpixel((30, 15)) == (0xE8, 0x38, 0x4F)
    assert sheet.getpixel((306 + 30, 15)) == (0x20, 0xAA, 0x63)


@pytest.mark.parametrize(("fallbacks", "warns"), [(19, False), (20, True)])
def test_a_fifth_of_fallbacks_is_worth_a_warning(fallbacks, warns):
    text = fallback_warning(100, fallbacks, "paper", "my photos", "boxes")
    assert (text is not None) == warns
    if text is not None:
        assert text.splitlines()[-1] == "  adept proposals 'my photos' --preset objects --boxes 50 --out boxes-objects"
        assert "20 of 100 images (20%)" in text


def test_objects_are_not_advised_to_who_has_them():
    text = fallback_warning(9, 9, "objects", "photos", "boxes")
    assert text is not None
    assert "adept proposals show boxes --images photos --out boxes-look" in text


def test_the_command(tmp_path, table, labeled, capsys):
    words = ["proposals", "evaluate", str(table.folder), "--data", labeled]
    assert main([*words, "--out", str(tmp_path / "look")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("3 images, 6 objects, 1 images by fallback (33%)")
    assert "33.3 /" in next(line for line in lines if line.split()[0] == "10")
    assert any("no object was found in 1 of 3 images" in line for line in lines)
    assert (tmp_path / "look/worst.png").is_file()
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"][1]["recall"]["iou50"] == pytest.approx(200 / 3)
    assert report["sheet"] is None
    assert main([*words, "--split", "test"]) == 1
    assert "has no test split" in capsys.readouterr().err
