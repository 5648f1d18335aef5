"""Output of a run: a line of progress, and every metric as JSONL."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import FileIO
from pathlib import Path
from typing import Any, TextIO

from adept_hub.errors import ResumeError
from adept_hub.io.disk_errors import disk_errors
from adept_hub.io.read import BoundedReader
from adept_training.pages.page import Tone
from adept_training.runtime.progress import StepsBar
from adept_training.runtime.trackers import Tracker


class Journal:
    """Appends records to a JSONL file and progress to a stream; None for either disables it.

    The scalars of ``train`` and ``probe`` records go to the trackers too, as train/loss and so on. Without a stream
    ``bar`` shows the steps.
    """

    def __init__(self, path: Path | None, stream: TextIO | None, trackers: Sequence[Tracker] = ()) -> None:
        self.path, self.stream, self.trackers = path, stream, trackers
        self.bar = StepsBar()
        self._file: FileIO | None = None
        self._ending = "stopped"  # default, until an end is recorded
        self._torn = False
        if path is not None:
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._torn = not _ends_with_a_line(path)  # a session was killed while writing
                self._file = path.open("ab", buffering=0)

    def record(self, kind: str, **values: Any) -> None:
        """Write one JSON object on a line, with the Unix time in seconds; a number that is not finite becomes null.

        Raises:
            DiskFullError: the line is missing or incomplete in the file; the next one begins on a new line.
        """
        if self.path is None or self._file is None:
            return
        content = {"kind": kind, "time": round(time.time(), 3), **values}
        line = ("\n" if self._torn else "") + json.dumps(_plain(content), allow_nan=False) + "\n"
        left = memoryview(line.encode())
        with disk_errors(self.path):
            self._torn = True
            while left:
                left = left[self._file.write(left) :]
            self._torn = False
        if kind == "end":
            self._ending = ending(values)
        if self.trackers and kind in ("train", "probe"):
            step = values.pop("step")
            for tracker in self.trackers:
                tracker.log(step, {f"{kind}/{name}": float(value) for name, value in values.items()})

    def say(self, text: str, tone: Tone = "neutral") -> None:
        """Write a line to the progress stream."""
        if self.stream is not None:
            try:
                self.stream.write(tinted(text, tone, self.stream) + "\n")
                self.stream.flush()
            except (OSError, ValueError):  # the terminal was closed, or the pipe's reader ended; the log is complete
                self.stream = None

    def showing(self, total: int, what: str, begin: int) -> AbstractContextManager[None]:
        """Show a bar over the steps during the block (see `StepsBar.shown`), unless there is a stream for lines."""
        return self.bar.shown(total, what, begin) if self.stream is None else nullcontext()

    def close(self) -> None:
        """Close the file, and the trackers with the state of the run."""
        if self._file is not None:
            self._file.close()
        for tracker in self.trackers:
            tracker.close(self._ending)


def _plain(value: Any) -> Any:
    """Replace NaN and infinities, which JSON lacks and other programs reject, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _ends_with_a_line(path: Path) -> bool:
    if not os.path.lexists(path):
        return True
    with BoundedReader(ResumeError, 1 << 62, remedy="Choose another --out.").open(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def ending(end: Mapping[str, Any]) -> str:
    """Return the state of a run by its ``end`` record: ``done``, ``interrupted`` (signal) or ``stopped`` (error)."""
    return "stopped" if "error" in end else "interrupted" if end["interrupted"] else "done"


def tinted(text: str, tone: Tone, stream: TextIO) -> str:
    """Color ``text`` green, amber or red if ``stream`` is a terminal with color support (https://no-color.org)."""
    color = {"good": "32", "caution": "33", "bad": "31"}.get(tone)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if color is None or plain else f"\x1b[{color}m{text}\x1b[0m"


class Meter:
    """Means of the scalars of some steps, and where their time went."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._steps, self._images = 0, 0
        self._started, self._waited = time.perf_counter(), 0.0

    def add(self, values: dict[str, Any], images: int, waited: float) -> None:
        """Add the scalars of one step (tensors are only read by `take`, so as not to wait for a device)."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1
        self._images += images
        self._waited += waited

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block, such as an evaluation, out of the speed."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._started += time.perf_counter() - began

    @property
    def seconds_per_step(self) -> float:
        """Mean time of a step since the last `take`; 0 without any."""
        return (time.perf_counter() - self._started) / self._steps if self._steps else 0.0

    def take(self) -> dict[str, float]:
        """Return means since the last `take`, with ``images_per_s`` and ``data_wait`` (share of time), and reset."""
        means = {name: float(value) / max(self._steps, 1) for name, value in self._sums.items()}
        elapsed = max(time.perf_counter() - self._started, 1e-9)
        means["images_per_s"] = self._images / elapsed
        means["data_wait"] = self._waited / elapsed
        self.__init__()  # type: ignore[misc]  # reset
        return means


def duration(seconds: float) -> str:
    """Format seconds as 3:07:05 or 7:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress_line(step: int, steps: int, values: dict[str, float], remaining: float) -> str:
    """Format step, loss and its terms, speed, data wait and ETA; the rest is in the log."""
    shown = (
        "contrast_12", "contrast_13", "rpn_objectness", "rpn_box", "head_class", "head_box", "spread_target",
        "retrieval",
    )  # fmt: skip
    terms = "  ".join(f"{name} {values[name]:.3f}" for name in shown if name in values)
    return (
        f"step {step}/{steps}  loss {values['loss']:.3f}  {terms}  lr {values['lr']:.3g}  "
        f"{values['images_per_s']:.1f} img/s  wait {values['data_wait']:.0%}  ETA {duration(remaining)}"
    )
