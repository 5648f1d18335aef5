"""Everything on a rented GPU, from one command: ``make gpu``, and rehearsed on a CPU by ``make gpu-rehearsal``.

Stages in order, each a process of its own with its own limit, whose output is kept whatever happens: sanity, speed, the
ladder, and the best starts in pieces that may be sent. ``--rehearsal`` is the same on a CPU with every size at its
smallest. ``log.txt`` says how long each took.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.pieces import split

#: Seconds of each stage on a GPU, and in the rehearsal.
LIMITS = {"sanity": (45, 60), "speed": (100, 110), "ladder": (340, 125)}
#: Seconds that a stage may take to import and to stop: on a cold disk torch alone takes ten.
IMPORTS = 25
#: Files of the stages that are sent, beside their output.
KEPT = ("speed.jsonl", "results.jsonl")


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument(
        "--work", required=True, type=Path, help="folder of what is not sent: runs, checkpoints, caches"
    )
    parser.add_argument("--stages", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--seconds", type=float, default=535, help="all stages together")
    parser.add_argument("--send", nargs="*", default=[], help="starts of the ladder to send, such as steel-objects")
    parser.add_argument("--ladder", default="", help="more options of benchmarks.gpu.ladder, one word for the shell")
    parser.add_argument("--mps", action="store_true", help="let processes share the GPU through NVIDIA's MPS")
    parser.add_argument("--rehearsal", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + args.seconds
    rehearsal = ["--rehearsal"] if args.rehearsal else []
    options: dict[str, list[str]] = {
        "sanity": [],
        "speed": rehearsal,
        "ladder": [
            "--corpus", str(args.corpus), *shlex.split(args.ladder), *rehearsal,
        ],
    }  # fmt: skip
    failed = 0
    for stage in args.stages:
        left = deadline - time.monotonic()
        limit = min(LIMITS[stage][args.rehearsal], left)
        if stage == args.stages[-1] and not args.rehearsal:
            limit = left - 15  # what is left, but for the pieces
        words = options[stage]
        if stage != "sanity":
            words += ["--out", str(args.work), "--seconds", f"{limit - IMPORTS:.0f}"]
        try:
            with shared_gpu(args.mps and stage == "ladder", args.work):
                failed += run_stage(stage, words, limit, args.out)
        finally:
            for name in KEPT:
                if (args.work / name).exists():
                    (args.out / name).write_bytes((args.work / name).read_bytes())
    for name in args.send:
        start = args.work / "starts" / name
        for folder in (start / "export", start):
            if (folder / "model.safetensors").exists():
                split(folder, args.out, name)
                break
    sys.exit(bool(failed))


def run_stage(stage: str, words: list[str], limit: float, out: Path) -> int:
    """Run one stage, killed with its processes at its limit; its output goes to ``log.txt``, the end is shown."""
    began = time.monotonic()
    command = [sys.executable, "-u", "-m", f"benchmarks.gpu.{stage}", *words]
    path = out / "log.txt"
    with path.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(max(limit, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    seconds = round(time.monotonic() - began, 1)
    tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-45:]
    ended = f"== {stage}: {seconds} s of {limit:.0f}, exit status {code}"
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{ended}\n")
    sys.stdout.write("\n".join([*tail, ended, ""]))
    sys.stdout.flush()
    return code


@contextlib.contextmanager
def shared_gpu(wanted: bool, work: Path) -> Iterator[None]:
    """Let processes compute on the GPU at the same time, where MPS starts; without it they take turns."""
    if not wanted or shutil.which("nvidia-cuda-mps-control") is None:
        yield
        return
    for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
        folder = work / name.lower()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)
    started = subprocess.run(["nvidia-cuda-mps-control", "-d"], capture_output=True, text=True, timeout=10)
    sys.stdout.write(f"MPS: {'on' if started.returncode == 0 else started.stderr.strip()}\n")
    if started.returncode:
        del os.environ["CUDA_MPS_PIPE_DIRECTORY"]
    try:
        yield
    finally:
        if started.returncode == 0:
            # Killed clients may keep its server waiting for them: the daemon's answer is not waited for.
            control = subprocess.Popen(["nvidia-cuda-mps-control"], stdin=subprocess.PIPE, text=True)
            assert control.stdin is not None
            control.stdin.write("quit -t 1\n")
            control.stdin.close()
            del os.environ["CUDA_MPS_PIPE_DIRECTORY"]


if __name__ == "__main__":
    main()
