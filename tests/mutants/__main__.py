"""Run a random sample of mutants: `python -m tests.mutants FOLDER... --sample N --seed S --minutes M --at-least P`."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.mutants import __doc__ as about
from tests.mutants.selection import Mutant, mutants, select_tests

ROOT = Path(__file__).resolve().parents[2]
#: Imported once, before the processes of the tests fork; huggingface_hub reads its environment when it is imported.
PRELOADED = ("torch", "torchvision", "numba", "cv2", "PIL.Image", "pyarrow", "pycocotools.mask", "hypothesis", "pytest")
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow")
NO_TESTS = 5


class Bench:
    """A copy of a tree, and a process that runs tests in it.

    Args:
        root: a Git checkout; files that it ignores are not copied.
        preloaded: the modules that the process imports once.
    """

    def __init__(self, root: Path, preloaded: Sequence[str] = PRELOADED) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True)
        folder = Path(self._temporary.name)
        self.tree, self.log, scratch = folder / "tree", folder / "log.txt", folder / "scratch"
        scratch.mkdir()
        listed = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")[:-1]:
            if (root / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, self.tree / name)
        paths = os.pathsep.join((str(self.tree), str(self.tree / "training")))
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("server.py")), str(self.log), *preloaded],
            cwd=self.tree,
            # The plugins of whatever is installed are two seconds of each run.
            env=os.environ
            | {"PYTHONPATH": paths, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
            | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._seconds: dict[Path, float | None] = {}
        self._writes = 10**9

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._temporary.cleanup()

    def try_mutant(self, mutant: Mutant) -> str:
        """Return "killed", "timed out" or "survived"."""
        source = (self.tree / mutant.path).read_text(encoding="utf-8")
        for test in select_tests(self.tree, mutant.path):
            seconds = self._unchanged(test)
            if seconds is None:
                continue
            self.write(mutant.path, mutant.change.apply(source))
            status = self.run(test, 4 * seconds + 20)
            self.write(mutant.path, source)
            if status != 0:
                return "timed out" if status is None else "killed"
        return "survived"

    def _unchanged(self, test: Path) -> float | None:
        """Return how long a file of tests takes without a mutant, None if all of it is left out."""
        if test not in self._seconds:
            begun = time.monotonic()
            status = self.run(test, 1800)
            if status not in (0, NO_TESTS):
                sys.stderr.write(self.log.read_text(encoding="utf-8", errors="replace"))
                raise SystemExit(f"{test} fails without a mutant.\nRepair it first: python -m pytest {test}")
            self._seconds[test] = time.monotonic() - begun if status == 0 else None
        return self._seconds[test]

    def run(self, test: Path, limit: float) -> int | None:
        """Return pytest's exit status for a file of tests, None past the limit in seconds."""
        self._process.stdin.write(json.dumps([limit, *PYTEST, str(test)]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def write(self, path: Path, source: str) -> None:
        """Write a module with a time of change of its own: Python compares the cached one by size and second."""
        self._writes += 1
        (self.tree / path).write_text(source, encoding="utf-8")
        os.utime(self.tree / path, (self._writes, self._writes))


def report(counts: Counter[str], total: int, at_least: float) -> int:
    """Print the counts; return 1 if a smaller share in percent than `at_least` was noticed."""
    tried = counts.total()
    share = 100 * (tried - counts["survived"]) / max(tried, 1)
    each = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("killed", "timed out", "survived"))
    sys.stdout.write(f"{tried} of {total} mutants: {each}; {share:.1f}% noticed, at least {at_least:g}% expected\n")
    return int(tried == 0 or share < at_least)


def main(words: Sequence[str] | None = None, root: Path = ROOT, preloaded: Sequence[str] = PRELOADED) -> int:
    """Print each mutant and its outcome; return 1 if fewer than `--at-least` were noticed."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description=about.partition("\n\n")[0])
    parser.add_argument("targets", nargs="+", metavar="FOLDER", help="a folder, a file, or a line of one: FILE:LINE")
    parser.add_argument("--sample", type=int, metavar="N", help="mutants to run, chosen at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default: 0)")
    parser.add_argument("--minutes", type=float, default=60, help="no mutant starts after these (default: 60)")
    parser.add_argument("--at-least", type=float, default=0, metavar="P", help="percent to be noticed (default: 0)")
    asked = parser.parse_args(words)
    found = mutants(root, asked.targets)
    chosen = random.Random(asked.seed).sample(found, min(asked.sample or len(found), len(found)))
    ends, counts = time.monotonic() + 60 * asked.minutes, Counter[str]()
    with Bench(root, preloaded) as bench:
        for mutant in chosen:
            if time.monotonic() > ends:
                break
            outcome = bench.try_mutant(mutant)
            counts[outcome] += 1
            sys.stdout.write(f"{outcome:9} {mutant.path}:{mutant.change.line}\n")
            if outcome != "killed":
                sys.stdout.write(mutant.diff((root / mutant.path).read_text(encoding="utf-8")) + "\n")
            sys.stdout.flush()
    return report(counts, len(found), asked.at_least)


if __name__ == "__main__":
    sys.exit(main())
