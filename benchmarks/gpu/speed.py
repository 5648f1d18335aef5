"""Images per second of training steps on one GPU, next to a bare ResNet-50's, in one run on one card.

``python -m benchmarks.gpu.speed --out DIR --seconds 150`` appends a record per variant to DIR/speed.jsonl as soon as it
is measured, in the order of `variants.VARIANTS`, and prints a table. Each variant runs in its own process: one that
fails, or crashes CUDA, leaves its error and the next goes on; a lock gives the GPU to one process at a time. The
processor launches every kernel of an eager step, so nothing compiles or decodes beside one. ``--rehearsal`` is the same
script on the CPU at the smallest sizes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from benchmarks.gpu.variants import VARIANTS, Variant

#: Processes at a time by lane.
LANES = {"eager": 1, "compiled": 2, "loader": 1}
#: Seconds that a variant needs at least; none is started later than this before the end.
LEAST = {"eager": 8.0, "compiled": 25.0, "loader": 12.0}


@dataclass
class Stage:
    """The running and the finished variants."""

    out: Path
    deadline: float
    rehearsal: bool
    context: ForkServerContext
    running: dict[str, tuple[Variant, ForkServerProcess, float]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def start(self, variant: Variant) -> None:
        process = self.context.Process(
            target=_child, args=(variant, str(self.out), self.deadline, self.rehearsal), name=variant.name
        )
        process.start()
        self.running[variant.name] = (variant, process, time.time())

    def collect(self) -> None:
        """Record every variant that has ended."""
        for name, (variant, process, began) in list(self.running.items()):
            if not process.is_alive():
                del self.running[name]
                self.record(variant, self.result(name, process.exitcode), began)

    def result(self, name: str, exitcode: int | None) -> dict[str, Any]:
        path = self.out / "speed" / f"{name}.json"
        if path.is_file():
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return content
        return {"error": f"the process ended with {exitcode}; its output is in speed/{name}.log"}

    def record(self, variant: Variant, result: dict[str, Any], began: float) -> None:
        beside = [name for name in self.running if name != variant.name]
        spent = round(time.time() - began, 1)
        record = {"variant": variant.name, **result, "seconds": spent, "beside": beside, "asked": asdict(variant)}
        self.records[variant.name] = record
        with (self.out / "speed.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{time.strftime('%H:%M:%S')}  {line_of(record)}", flush=True)

    def stop(self) -> None:
        """End whatever still runs, with its own children."""
        for name, (variant, process, began) in list(self.running.items()):
            _kill(process)
            del self.running[name]
            result = {"error": "the time was over"} if not self._wrote(name) else self.result(name, process.exitcode)
            self.record(variant, result, began)

    def _wrote(self, name: str) -> bool:
        return (self.out / "speed" / f"{name}.json").is_file()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150.0, help="of the whole stage, its start included")
    parser.add_argument("--rehearsal", action="store_true", help="on the CPU, every size at its smallest")
    parser.add_argument("--only", nargs="+", choices=[v.name for v in VARIANTS], help="these variants")
    args = parser.parse_args()
    began = time.time()
    (args.out / "speed").mkdir(parents=True, exist_ok=True)
    variants = [v for v in VARIANTS if args.only is None or v.name in args.only]
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "images"
        images.mkdir()
        os.environ["ADEPT_SPEED_IMAGES"] = str(images)
        # Children begin with torch imported. The parent must not import or touch CUDA before them.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.gpu.measuring"])
        stage = Stage(args.out.resolve(), began + args.seconds - 2.0, args.rehearsal, context)
        writer = context.Process(target=_write_photographs, args=(str(images), 16 if args.rehearsal else 512))
        writer.start()
        try:
            run(stage, variants, writer)
        finally:
            stage.stop()
            if writer.is_alive():
                writer.kill()
    summary = summarize(stage.records)
    (args.out / "speed_summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    print(table_of(stage.records, summary))
    print(f"speed: {len(stage.records)} variants in {time.time() - began:.0f} s")
    if args.rehearsal and any("error" in record for record in stage.records.values()):
        sys.exit(1)


def run(stage: Stage, variants: list[Variant], writer: ForkServerProcess) -> None:
    """Start variants in order, each lane within its limit, until all have ended or the time is over."""
    waiting = list(variants)
    while (waiting or stage.running) and time.time() < stage.deadline:
        stage.collect()
        for variant in next_ones(
            waiting, [v for v, _, _ in stage.running.values()], writing=writer.is_alive(), together=stage.rehearsal
        ):
            waiting.remove(variant)
            left = stage.deadline - time.time()
            if not stage.rehearsal and left < LEAST[variant.lane]:
                stage.record(variant, {"skipped": f"{left:.0f} s were left"}, time.time())
            else:
                stage.start(variant)
        time.sleep(0.05)
    stage.collect()
    for variant in waiting:
        stage.record(variant, {"skipped": "the time was over"}, time.time())


def next_ones(
    waiting: list[Variant], running: list[Variant], *, writing: bool = False, together: bool = False
) -> list[Variant]:
    """Return the variants to start now, in the order of the table within each lane.

    Compiling and loading take the processors, which eager steps wait for: a variant starts when those of other lanes
    before it have ended. The rehearsal runs them ``together``, but for the loader's, whose images are ``writing``.
    """
    chosen: list[Variant] = []
    order = {v.name: place for place, v in enumerate(VARIANTS)}
    for lane, limit in LANES.items():
        others = [v for v in [*waiting, *running] if v.lane != lane]
        ready = [v for v in waiting if v.lane == lane]
        if not together:
            ready = [v for v in ready if not any(order[other.name] < order[v.name] for other in others)]
        if lane == "loader" and writing:
            ready = []
        chosen += ready[: max(limit - sum(v.lane == lane for v in running), 0)]
    return chosen


def _write_photographs(folder: str, count: int) -> None:
    from benchmarks.gpu.inputs import write_photographs  # imports torch, which only children do

    write_photographs(folder, count)


def _child(variant: Variant, out: str, deadline: float, rehearsal: bool) -> None:
    """Run one variant in its own session, its output in a file, its result or error in another."""
    os.setsid()
    log = os.open(Path(out) / "speed" / f"{variant.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from benchmarks.gpu.measuring import measure_variant  # imported by the fork server

    measure_variant(variant, Path(out), deadline, rehearsal)
    sys.stdout.flush()


def _kill(process: ForkServerProcess) -> None:
    if process.pid is not None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # it has just ended, or has not begun its session
            process.kill()
    process.join(2)


def summarize(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return each variant's images/s, and its ratio to today's step and to the bare ResNet at equal pixels."""
    speeds = {name: r["images_per_s"] for name, r in records.items() if "images_per_s" in r}
    summary: dict[str, Any] = {}
    for name, speed in speeds.items():
        record = records[name]
        base = speeds.get(record["asked"]["base"])
        yardstick = speeds.get(record["asked"]["yardstick"])
        summary[name] = {
            "images_per_s": speed,
            "ratio_to_base": base and round(speed / base, 3),
            "ratio_to_bare": yardstick and round(speed / yardstick, 3),
            **{key: record[key] for key in ("tflop_per_s", "data_wait", "peak_memory_mib") if key in record},
        }
    return summary


def table_of(records: dict[str, dict[str, Any]], summary: dict[str, Any]) -> str:
    """Return the table that ends the output."""
    lines = [f"{'variant':28s} {'images/s':>9s} {'x base':>7s} {'x bare':>7s} {'TFLOP/s':>8s} {'wait':>6s} {'MiB':>7s}"]
    for name in records:
        if name not in summary:
            lines.append(line_of(records[name]))
            continue
        row = summary[name]
        cells = [row["images_per_s"], row["ratio_to_base"], row["ratio_to_bare"], row.get("tflop_per_s"),
                 row.get("data_wait"), row.get("peak_memory_mib")]  # fmt: skip
        texts = ["" if cell is None else f"{cell:g}" for cell in cells]
        widths = (9, 7, 7, 8, 6, 7)
        lines.append(f"{name:28s} " + " ".join(f"{text:>{width}s}" for text, width in zip(texts, widths, strict=True)))
    return "\n".join(lines)


def line_of(record: dict[str, Any]) -> str:
    """Return one line for a record."""
    name = record["variant"]
    for key in ("error", "skipped"):
        if key in record:
            return f"{name:28s} {key}: {' '.join(str(record[key]).split())[-160:]}"
    rest = {k: v for k, v in record.items() if k not in ("variant", "asked", "blocks", "beside", "parts")}
    return f"{name:28s} " + "  ".join(f"{key} {value}" for key, value in rest.items())


if __name__ == "__main__":
    main()
