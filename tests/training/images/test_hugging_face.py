import io
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import ImageDecodeError, ImagesError, MissingExtraError
from adept_training.images import decode, open_images
from adept_training.images.hugging_face import HuggingFaceImages, open_hugging_face
from adept_training.proposals import ProposalTable, run_proposals

datasets = pytest.importorskip("datasets")


@pytest.fixture
def saved(tmp_path):
    photographs = [np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8) for i in range(3)]
    features = datasets.Features({"label": datasets.Value("int32"), "photo": datasets.Image()})
    rows = {"label": [0, 1, 2, 3], "photo": [*map(Image.fromarray, photographs), None]}
    train = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": train, "val": train.select([2])}).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved", photographs


def test_rows_are_photographs(saved):
    folder, photographs = saved
    source = open_images(f"hf-datasets:{folder}:train")
    assert source.keys() == [f"train/{i:08d}" for i in range(4)]
    assert np.array_equal(decode(source.read("train/00000001"), "x"), photographs[1])
    assert open_images(f"hf-datasets:{folder}:val").keys() == ["val/00000000"]
    with pytest.raises(ImageDecodeError, match="no image"):
        source.read("train/00000003")


def test_a_subset_travels_to_workers(saved):
    source = open_images(f"hf-datasets:{saved[0]}")
    content = pickle.dumps(source.subset(["train/00000002"]))
    assert len(content) < 5000
    subset = pickle.loads(content)
    assert subset.keys() == ["train/00000002"]
    assert np.array_equal(decode(subset.read("train/00000002"), "x"), saved[1][2])


def test_files_that_are_only_named(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    column = {"image": [str(tmp_path / "a.png"), str(tmp_path / "gone.png")]}
    dataset = datasets.Dataset.from_dict(column).cast_column("image", datasets.Image(decode=False))
    source = HuggingFaceImages(dataset, "train", "image")
    assert source.read("train/00000000") == buffer.getvalue()
    with pytest.raises(ImageDecodeError, match="cannot be read"):
        source.read("train/00000001")


def test_proposals_of_a_dataset(saved, tmp_path):
    report = run_proposals(f"hf-datasets:{saved[0]}", tmp_path / "out", workers=2)
    assert (report.images, report.unreadable) == (3, 1)
    assert ProposalTable.open(tmp_path / "out").size("train/00000000") == (40, 30)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("hf-datasets:{saved}:nowhere", "cannot be opened"),
        ("hf-datasets:a@b@c", "is not hf-datasets:NAME"),
        ("hf-datasets:{numbers}", "no image column, only label"),
    ],
)
def test_mistakes_are_told(saved, tmp_path, where, message):
    datasets.Dataset.from_dict({"label": [1]}).save_to_disk(tmp_path / "numbers")
    with pytest.raises(ImagesError, match=message):
        open_images(where.format(saved=saved[0], numbers=tmp_path / "numbers"))


def test_no_version_runs_the_script_of_a_data_set(monkeypatch):
    seen = []

    def load_dataset(name, **_):
        seen.append(datasets.config.HF_DATASETS_TRUST_REMOTE_CODE)
        raise ValueError("needs its script")

    monkeypatch.setattr(datasets.config, "HF_DATASETS_TRUST_REMOTE_CODE", True, raising=False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ImagesError, match="needs its script"):
        open_images("hf-datasets:org/photos")
    assert seen == [False]


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ("hf-datasets:org/photos", {"revision": None, "split": "train"}),
        ("hf-datasets:org/photos@v2:test", {"revision": "v2", "split": "test"}),
    ],
)
def test_the_revision_and_split_that_are_named_are_asked_for(monkeypatch, where, asked):
    seen = {}

    def load_dataset(name, **options):
        seen.update(options, name=name)
        raise ValueError("seen")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ImagesError, match="seen"):
        open_images(where)
    assert seen == {**asked, "name": "org/photos"}


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[datasets\]'"):
        open_hugging_face("hf-datasets:a/b")
