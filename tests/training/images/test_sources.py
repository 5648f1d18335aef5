"""Folders, lists and shards."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_training.images import open_images, sources


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_folder_is_searched_through(tmp_path):
    for name in ("b/x.png", "a.JPG", "b/c/x.png", "notes.txt"):
        write(tmp_path / name, PNG)
    source = open_images(tmp_path)
    assert source.keys() == ["a.JPG", "b/c/x.png", "b/x.png"]
    assert source.read("b/x.png") == PNG
    assert source.subset(["a.JPG"]).keys() == ["a.JPG"]


def test_a_list_is_relative_to_itself(tmp_path):
    write(tmp_path / "photos/a.png", PNG)
    write(tmp_path / "photos/b.png", PNG)
    (tmp_path / "list.txt").write_text("photos/b.png\n\nphotos/a.png\nphotos/b.png\n")
    source = open_images(tmp_path / "list.txt")
    assert source.keys() == ["photos/b.png", "photos/a.png"]
    assert source.read("photos/a.png") == PNG


def test_a_list_may_be_relative_to_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "work/photos/a.png", PNG)
    write(tmp_path / "lists/list.txt", b"photos/a.png\n")
    monkeypatch.chdir(tmp_path / "work")
    source = open_images(tmp_path / "lists/list.txt")
    monkeypatch.chdir(tmp_path)
    assert source.read("photos/a.png") == PNG


def make_shards(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(folder / f"train-{shard:03d}.tar", "w") as tar:
            for name in ("0.png", "0.json", "1.png"):
                info = tarfile.TarInfo(name)
                info.size = len(PNG)
                tar.addfile(info, io.BytesIO(PNG))


@pytest.mark.parametrize("where", ["shards", "shards/train-{000..001}.tar"])
def test_webdataset_shards(tmp_path, where):
    make_shards(tmp_path / "shards")
    source = open_images(tmp_path / where)
    assert source.keys() == [f"train-00{i}.tar/{j}.png" for i in range(2) for j in range(2)]
    assert source.read("train-001.tar/1.png") == PNG
    one = source.subset(["train-001.tar/1.png"])
    assert one.keys() == ["train-001.tar/1.png"]
    assert one.read("train-001.tar/1.png") == PNG


def test_one_shard(tmp_path):
    make_shards(tmp_path)
    assert open_images(tmp_path / "train-001.tar").keys() == ["train-001.tar/0.png", "train-001.tar/1.png"]


def test_a_shard_that_was_cut_after_opening(tmp_path):
    make_shards(tmp_path)
    source = open_images(tmp_path / "train-000.tar")
    (tmp_path / "train-000.tar").write_bytes(b"")
    with pytest.raises(ImageDecodeError, match="truncated"):
        source.read("train-000.tar/0.png")


@pytest.mark.parametrize(
    ("files", "where", "message"),
    [
        ({}, ".", "is empty"),
        ({"a.txt": b"x", "b/c.pdf": b"x"}, ".", "No images among the 2 files"),
        ({}, "nowhere", "does not exist"),
        ({"list.txt": b"\n\n"}, "list.txt", "list .* is empty"),
        ({"list.txt": b"nowhere.png\n"}, "list.txt", "neither next to the list"),
        ({"photo.png": PNG}, "photo.png", "neither a folder"),
        ({"a.tar": b"not a tar" * 100}, "a.tar", "shard .* cannot be read"),
    ],
)
def test_mistakes_are_told(tmp_path, files, where, message):
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(ImagesError, match=message) as caught:
        open_images(tmp_path / where)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_file_that_vanished(tmp_path):
    write(tmp_path / "a.png", PNG)
    source = open_images(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageDecodeError, match=r"a\.png cannot be read"):
        source.read("a.png")


def test_importing_images_is_cheap():
    code = "import sys, adept_training.images; sys.exit(bool({'torch', 'numba', 'pyarrow', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_shard_s_images_are_those_with_an_image_s_ending_in_any_case(tmp_path):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for name in ("b.JPG", "a.json", "sub/c.Png", "d.cls", "README", "e.jpeg.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(PNG)
            tar.addfile(info, io.BytesIO(PNG))
        folder = tarfile.TarInfo("looks-like.png")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    source = open_images(tmp_path / "photos.tar")
    assert source.keys() == ["photos.tar/b.JPG", "photos.tar/sub/c.Png"]
    assert source.read("photos.tar/b.JPG") == PNG


def test_a_range_of_shards_may_be_of_one_and_of_as_many_as_the_limit(tmp_path, monkeypatch):
    make_shards(tmp_path)
    assert open_images(tmp_path / "train-{001..001}.tar").keys() == ["train-001.tar/0.png", "train-001.tar/1.png"]
    monkeypatch.setattr(sources, "MAX_SHARDS", 2)
    assert len(open_images(tmp_path / "train-{000..001}.tar").keys()) == 4
    for pattern, message in (("train-{000..002}.tar", "more than 2 shards"), ("train-{001..000}.tar", "no shards")):
        with pytest.raises(ImagesError, match=message):
            open_images(tmp_path / pattern)


def test_shards_next_to_images_are_left_out_with_a_word(tmp_path, caplog):
    make_shards(tmp_path)
    write(tmp_path / "a.png", PNG)
    assert open_images(tmp_path).keys() == ["a.png"]
    assert "2 .tar files next to 1 images are ignored" in caplog.text


def test_shards_without_an_image_are_named(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("0.json"), io.BytesIO(b""))
    with pytest.raises(ImagesError, match="No images in the 1 shards"):
        open_images(tmp_path / "a.tar")


def test_a_range_of_shards_is_padded_as_its_first_number() -> None:
    assert sources._product("a-{8..11}.tar") == ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]
    assert sources._product("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
