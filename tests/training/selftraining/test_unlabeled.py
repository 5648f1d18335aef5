"""Unlabeled images: identified by their bytes, and weak views that are a function of seed, epoch and image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from adept_hub.errors import DataError, ImagesError
from adept_training.images import open_images
from adept_training.labels.datasets import open_data
from adept_training.selftraining.unlabeled import WeakViews, open_unlabeled
from tests.training.support import write_photographs


def test_images_of_val_and_test_are_refused_by_content(voc: Path, tmp_path: Path) -> None:
    folder, data = tmp_path / "more", open_data(f"voc:{voc}")
    write_photographs(folder, 3)
    fine = open_unlabeled(folder, data)
    assert (len(fine), fine.labeled, fine.spec) == (3, 0, str(folder))
    shutil.copy(voc / "JPEGImages" / "train1.png", folder / "z.png")
    both = open_unlabeled(folder, data)
    assert (len(both), both.labeled) == (4, 1)
    assert both.sha256 != fine.sha256
    for split in ("val", "test"):
        shutil.copy(voc / "JPEGImages" / f"{split}2.png", folder / "sub.png")
        with pytest.raises(DataError, match=rf"1 of the unlabeled images .* also in {split}, the first: sub\.png"):
            open_unlabeled(folder, data)


def test_damaged_images_raise_or_are_left_out(voc: Path, tmp_path: Path) -> None:
    folder, data = tmp_path / "more", open_data(f"voc:{voc}")
    write_photographs(folder, 2)
    (folder / "001.png").write_bytes((folder / "001.png").read_bytes()[:90])
    with pytest.raises(ImagesError, match=r"1 of 2 unlabeled images cannot be read; the first: 001\.png"):
        open_unlabeled(folder, data)
    assert open_unlabeled(folder, data, skip_damaged=True).source.keys() == ["000.png"]
    (folder / "000.png").unlink()
    with pytest.raises(ImagesError, match="1 of 1"):
        open_unlabeled(folder, data, skip_damaged=True)


def test_weak_views_are_images_and_their_mirror_images(tmp_path: Path) -> None:
    write_photographs(tmp_path, 2)
    source = open_images(tmp_path)
    plain, mirrored, some = (WeakViews(source, tuple(source.keys()), flip, 3) for flip in (0.0, 1.0, 0.5))
    assert len(plain) == 2
    for index in (0, 1):
        pixels, place = plain[(4, index)]
        assert (place, pixels.dtype, pixels.shape) == ((4, index), torch.uint8, (3, 80, 96))
        assert torch.equal(mirrored[(4, index)][0], pixels.flip(-1))
    drawn = [torch.equal(some[(epoch, index)][0], plain[(0, index)][0]) for epoch in range(20) for index in (0, 1)]
    assert 8 < sum(drawn) < 32
    assert drawn == [
        torch.equal(some[(epoch, index)][0], plain[(0, index)][0]) for epoch in range(20) for index in (0, 1)
    ]
