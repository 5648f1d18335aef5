"""A worker's error reaches the user as the worker wrote it."""

import os
import tempfile
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from adept_hub.errors import DataError, RecipeError
from adept_training.runtime.workers import check_workers, plain_errors

MESSAGE = "first line: with a colon\nsecond line"


class Broken(Dataset):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: int) -> int:
        raise self.error


@pytest.mark.parametrize("workers", [0, 1])
def test_the_traceback_of_a_worker_is_left_out(workers: int) -> None:
    with pytest.raises(DataError) as caught, plain_errors():
        next(iter(DataLoader(Broken(DataError(MESSAGE)), num_workers=workers)))
    assert str(caught.value) == MESSAGE


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), plain_errors():
        next(iter(DataLoader(Broken(ZeroDivisionError("x")), num_workers=1)))


@pytest.mark.skipif(os.name != "posix", reason="no sockets in folders")
def test_a_temporary_folder_that_is_too_deep_for_sockets_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With it torch prints an error in the worker, drops the batch and waits for ever."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        for length, fits in ((71, True), (72, False)):
            folder = Path(short) / ("x" * (length - len(short) - 1))
            folder.mkdir()
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
            if fits:
                assert check_workers(1) == 1
                batch = next(iter(DataLoader([torch.ones(3)] * 4, num_workers=1, batch_size=4)))
                assert batch.shape == (4, 3)
                continue
            with pytest.raises(RecipeError, match=r"at most 71 bytes; .* is longer\.\n.*TMPDIR=/tmp.*workers=0"):
                check_workers(1)
            assert check_workers(0) == 0
