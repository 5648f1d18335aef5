"""A proposals run counts its images from the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from adept_hub.errors import ImagesError
from adept_training.images import ImageSource, decoder_version
from adept_training.proposals.run import fill_table
from adept_training.proposals.table.shards import TablePlan, Unreadable, keys_digest
from tests.training.support import write_photographs


def test_the_first_counts_come_after_an_image(tmp_path: Path):
    """Sixteen images, and Numba's compilation with the first, take a minute or two; later tasks are as large."""
    seen, tasks = list[tuple[int, int]](), list[list[str]]()
    source = write_photographs(tmp_path / "photographs", 1)
    keys = [f"{i}.png" for i in range(60)]

    class Many:
        def keys(self) -> list[str]:
            return keys

        def subset(self, some: list[str]) -> ImageSource:
            tasks.append(list(some))
            return source

    def work(_: ImageSource) -> list[Unreadable]:
        return [Unreadable(key, "no image") for key in tasks[-1]]

    plan = TablePlan(60, 40, keys_digest(keys), {}, {"name": "test"}, decoder_version())
    with pytest.raises(ImagesError, match="None of the 60"):
        fill_table(
            cast(Any, Many()),
            tmp_path / "table",
            plan,
            cast(Any, work),
            progress=lambda p: seen.append((p.done, len(tasks))),
        )
    assert [len(task) for task in tasks] == [1, 1, 2, 4, 8, 16, 8, 16, 4]
    assert [key for task in tasks for key in task] == keys
    assert seen == [(0, 0), (1, 1), (2, 2), (4, 3), (8, 4), (16, 5), (32, 6), (40, 7), (56, 8), (60, 9)]
