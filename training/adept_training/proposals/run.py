"""Run over every image of a source, once, into a table that survives any interruption."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from adept_hub.arguments.calls import checked
from adept_hub.errors import DiskFullError, ImageDecodeError, ImagesError, OutputExistsError, ProposalsError
from adept_hub.io.folder_lock import own_folder
from adept_hub.io.paths import not_a
from adept_hub.io.write import clear_leavings
from adept_training.images import ImageSource, decoder_version, open_images
from adept_training.pages.inline import files, inline, table
from adept_training.proposals.engines import SHARD_SIZE, Engine, run_tasks
from adept_training.proposals.propose import engine_version, propose
from adept_training.proposals.search.presets import DEFAULT_PRESET, Preset, get_preset
from adept_training.proposals.survey import with_size_prior
from adept_training.proposals.table.index import open_index
from adept_training.proposals.table.match import compare
from adept_training.proposals.table.shards import (
    PLAN_FILE,
    UNREADABLE_FILE,
    ProposalRow,
    TablePlan,
    Unreadable,
    keys_digest,
    read_plan,
    read_shard,
    shard_note,
    write_atomically,
    write_shard,
)
from adept_training.runtime.cpus import available_cpus
from adept_training.runtime.first_process import launched
from adept_training.runtime.progress import progress_bar

log = logging.getLogger(__name__)

TASK_SIZE = 16  # images; the interval of progress
_FIRST_TASKS = (1, 1, 2, 4, 8)  # images: a first count comes after one
_COMPARED_SHARDS = 20  # of those that an earlier run finished


@dataclass(frozen=True)
class ProposalProgress:
    """Progress of a run."""

    done: int  # images, those of earlier runs included
    total: int
    unreadable: int
    rate: float  # images per second of this run; 0 before its first image
    eta: float  # seconds; 0 before the first image


@dataclass(frozen=True)
class RunReport:
    """Report of a finished run."""

    out: Path
    images: int  # rows of the table
    boxes: int
    fallbacks: int
    unreadable: int
    unreadable_report: Path | None
    shards: int
    resumed_shards: int  # finished by an earlier run
    seconds: float

    def _repr_html_(self) -> str:
        """Show the counts in a notebook."""
        rows = [
            ["images", f"{self.images:,}"],
            ["boxes", f"{self.boxes:,}"],
            ["boxes per image", f"{self.boxes / max(self.images, 1):.1f}"],
            ["images by fallback", f"{self.fallbacks:,}"],
            ["unreadable images", f"{self.unreadable:,}"],
        ]
        return inline(f"{self.out}: boxes of {self.images:,} images", table(["", "number"], rows),
                      files({"Unreadable": self.unreadable_report}))  # fmt: skip


@checked
def run_proposals(
    images: str | Path | ImageSource,
    out: str | Path,
    preset: str | Preset = DEFAULT_PRESET,
    *,
    workers: int | None = None,
    engine: Engine = "local",
    strict: bool = False,
    shard_size: int = SHARD_SIZE,
    progress: Callable[[ProposalProgress], None] | None = None,
    wait: bool = False,
) -> RunReport:
    """Compute the proposals of every image of ``images`` and write them as a table into the folder ``out``.

    Calling this again with the same arguments resumes an interrupted run: finished shards are kept, and the table is
    the same as without the interruption.

    Args:
        images: a folder, a text file of paths, WebDataset shards (see ``images.open_images``), or a source.
        workers: processes; by default one per core. With more than one, a script that calls this needs the usual
            ``if __name__ == "__main__":``. Ray uses what the cluster has.
        strict: an unreadable image is an error; otherwise it is listed in ``unreadable.jsonl`` next to the table.
        shard_size: images per shard, which is the unit of resuming.
        progress: called at the start and after every few images; None: a progress bar on a terminal or in a notebook.
        wait: if another process is writing ``out``, wait for it to end instead of refusing; processes that torchrun or
            SLURM started together always do, and find the table finished.

    Raises:
        ImagesError: there are no readable images. ImageDecodeError: an unreadable one, when strict.
        FolderInUseError: another process is writing ``out``.
        OutputExistsError: ``out`` contains a table of other images or parameters, or of images changed since.
        DiskFullError: the disk is full. ProposalsError: the preset or engine is unknown, or a worker died.
    """
    source = open_images(images) if isinstance(images, str | Path) else images
    chosen, folder = get_preset(preset), Path(out)
    workers = available_cpus() if workers is None else workers
    if workers < 1 or shard_size < 1:
        raise ProposalsError(f"workers and shard_size must be at least 1, not {workers} and {shard_size}.")
    keys = source.keys()
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{not_a('a folder', folder)}\nGive --out a folder.")
    with own_folder(folder, wait=wait or launched()[1] > 1):
        chosen = with_size_prior(chosen, source, folder, engine, workers)
        plan = TablePlan(
            len(keys), shard_size, keys_digest(keys), chosen.as_dict(), engine_version(chosen), decoder_version()
        )
        work = functools.partial(propose, preset=chosen)
        return fill_table(source, folder, plan, work, engine=engine, workers=workers, strict=strict, progress=progress)


def fill_table(
    source: ImageSource,
    folder: Path,
    plan: TablePlan,
    work: Callable[[ImageSource], list[ProposalRow | Unreadable]],
    *,
    engine: Engine = "local",
    workers: int = 1,
    strict: bool = False,
    progress: Callable[[ProposalProgress], None] | None = None,
) -> RunReport:
    """Write the shards of a table that are missing, each whole or not at all, and index it; the caller owns ``folder``.

    Args:
        work: returns a row, or the reason why there is none, for every key of a few images, in order.

    For the other arguments and errors see `run_proposals`.
    """
    _begin(folder, plan)
    start = time.monotonic()
    missing = [shard for shard in range(plan.shards) if not (folder / plan.part(shard)).is_file()]
    _check_finished(folder, plan, source, sorted(set(range(plan.shards)) - set(missing)))
    keys = source.keys()
    try:
        with _shown(progress, len(keys)) as report:
            _Work(source, keys, plan, work, folder, strict, report).run(missing, engine, workers)
    except DiskFullError as error:
        raise DiskFullError(f"{error}\nFinished shards are kept.") from error
    return _finish(folder, plan, plan.shards - len(missing), strict, time.monotonic() - start)


@contextlib.contextmanager
def _shown(
    progress: Callable[[ProposalProgress], None] | None, images: int
) -> Iterator[Callable[[ProposalProgress], None]]:
    """Yield ``progress``; without it, that of a bar."""
    if progress is not None:
        yield progress
        return
    with progress_bar(images, "boxes", " images") as bar:
        yield lambda now: bar.update(now.done - bar.n)


@dataclass(frozen=True)
class _Work:
    source: ImageSource
    keys: list[str]
    plan: TablePlan
    work: Callable[[ImageSource], list[ProposalRow | Unreadable]]
    folder: Path
    strict: bool
    progress: Callable[[ProposalProgress], None]

    def run(self, shards: list[int], engine: Engine, workers: int) -> None:
        # Closed here, not when it is collected: exceptions (Ctrl-C included) must be raised.
        with contextlib.closing(run_tasks(self.work, self._tasks(shards), engine, workers)) as results:
            self._write(shards, results)

    def _write(self, shards: list[int], results: Iterator[list[ProposalRow | Unreadable]]) -> None:
        todo = sum(len(self._shard_keys(shard)) for shard in shards)
        done, unreadable, start = 0, 0, time.monotonic()
        self.progress(ProposalProgress(len(self.keys) - todo, len(self.keys), 0, 0.0, 0.0))
        for shard in shards:
            rows: list[ProposalRow] = []
            lost: list[Unreadable] = []
            for _ in self._batches(shard, shards[0]):
                for result in next(results):
                    if isinstance(result, ProposalRow):
                        rows.append(result)
                    elif self.strict:
                        raise ImageDecodeError(f"{result.reason}\nWithout --strict it would be listed and left out.")
                    else:
                        lost.append(result)
                    done += 1
                    unreadable += isinstance(result, Unreadable)
                rate = done / max(time.monotonic() - start, 1e-9)
                before = len(self.keys) - todo
                self.progress(ProposalProgress(before + done, len(self.keys), unreadable, rate, (todo - done) / rate))
            write_shard(self.folder, self.plan, shard, rows, lost)

    def _shard_keys(self, shard: int) -> list[str]:
        size = self.plan.shard_size
        return self.keys[shard * size : (shard + 1) * size]

    def _tasks(self, shards: list[int]) -> Iterator[ImageSource]:
        for shard in shards:
            for keys in self._batches(shard, shards[0]):
                yield self.source.subset(keys)

    def _batches(self, shard: int, first: int) -> Iterator[list[str]]:
        """Split a shard into tasks, which in the first one begin small."""
        keys, start = self._shard_keys(shard), 0
        sizes = itertools.chain(_FIRST_TASKS if shard == first else (), itertools.repeat(TASK_SIZE))
        while start < len(keys):
            size = next(sizes)
            yield keys[start : start + size]
            start += size


def _begin(folder: Path, plan: TablePlan) -> None:
    """Write the plan, or check that the existing one is the same."""
    if (folder / PLAN_FILE).is_file():
        existing = asdict(read_plan(folder))
        differing = [name for name, value in asdict(plan).items() if existing[name] != value]
        if differing:
            raise OutputExistsError(
                f"{folder} holds proposals made differently (other {', '.join(differing)}).\n"
                "Give another --out, or remove that folder."
            )
        clear_leavings(folder, ".part-*.tmp", ".index.*.tmp")
        return
    if any(folder.glob("part-*.parquet")):
        raise OutputExistsError(f"{folder} holds Parquet files of something else.\nGive another --out.")
    write_atomically(folder / PLAN_FILE, plan.as_json().encode())


def _check_finished(folder: Path, plan: TablePlan, source: ImageSource, shards: list[int]) -> None:
    """Compare images of shards that an earlier run finished with their digests: equal names are not enough."""
    chosen = np.random.default_rng(0).permutation(shards)[:_COMPARED_SHARDS].tolist()
    recorded: dict[str, tuple[bytes, tuple[int, int]]] = {}
    for shard in chosen:
        table = read_shard(folder, plan, shard, ("key", "width", "height", "sha256")).to_pydict()
        sizes = zip(table["width"], table["height"], strict=True)
        recorded |= dict(zip(table["key"], zip(table["sha256"], sizes, strict=True), strict=True))
    keys = [key for key in source.keys() if key in recorded]  # noqa: SIM118 - a method, not a dict
    difference = compare(source, keys, lambda key: recorded[key][0], lambda key: recorded[key][1], seconds=10)
    if difference.differing:
        raise OutputExistsError(
            f"{folder} holds proposals of images that have changed since: {difference}.\n"
            "Give another --out, or remove that folder."
        )


def _finish(folder: Path, plan: TablePlan, resumed: int, strict: bool, seconds: float) -> RunReport:
    notes = [shard_note(folder, plan, shard) for shard in range(plan.shards)]
    unreadable = [item for note in notes for item in note["unreadable"]]
    report = folder / UNREADABLE_FILE
    if unreadable and strict:
        raise ImageDecodeError(f"{unreadable[0]['reason']}\nIt is one of {len(unreadable)}: see {report}.")
    if unreadable:
        write_atomically(report, "".join(json.dumps(item) + "\n" for item in unreadable).encode())
        log.warning("%d of %d images could not be read: %s", len(unreadable), plan.images, report)
    rows = sum(note["rows"] for note in notes)
    if rows == 0:
        raise ImagesError(f"None of the {plan.images} images can be read.\nWhy, one by one: {report}")
    open_index(folder)
    return RunReport(
        out=folder,
        images=rows,
        boxes=sum(note["boxes"] for note in notes),
        fallbacks=sum(note["fallbacks"] for note in notes),
        unreadable=len(unreadable),
        unreadable_report=report if unreadable else None,
        shards=plan.shards,
        resumed_shards=resumed,
        seconds=seconds,
    )
