"""A worker's error reaches the user as the worker wrote it."""

import pytest
from torch.utils.data import DataLoader, Dataset

from adept_hub.errors import DataError
from adept_training.runtime.workers import plain_errors

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
