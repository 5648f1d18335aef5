"""A run on a small tree: a strong test kills every mutant, a weak one lets some survive, a hanging one is ended."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest

from tests.mutants.__main__ import Bench, main
from tests.mutants.selection import mutants, select_tests

ROOT = Path(__file__).parents[2]
MODULE = Path("adept_hub/convert/half.py")
SOURCE = '"""Half of a number."""\n\n\ndef half(x: int) -> int:\n    return x // 2\n'
#: Of `//` to `*`, 2 to 3, 2 to 1 and `return None`, only the last is noticed where x is 0.
STRONG, WEAK = "assert half(9) == 4", "assert half(0) == 0"

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the runner needs fork")


def tree_with(folder: Path, check: str) -> Path:
    for name in ("adept_hub", "adept_hub/convert", "tests", "tests/convert"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    (folder / MODULE).write_text(SOURCE)
    test = f"from adept_hub.convert.half import half\n\n\ndef test_half():\n    {check}\n"
    (folder / "tests/convert/test_half.py").write_text(test)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def run(tree: Path, *options: str) -> int:
    return main(["adept_hub/convert", *options], tree, ["pytest"])


@forks
def test_a_strong_test_kills_every_mutant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tree_with(tmp_path, STRONG)
    assert run(tree, "--at-least", "100") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == ["killed    adept_hub/convert/half.py:5"] * 4
    assert lines[-1].startswith("4 of 4 mutants: 4 killed, 0 timed out, 0 survived; 100.0% noticed")
    assert (tree / MODULE).read_text() == SOURCE


@forks
def test_a_weak_test_lets_mutants_survive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tree_with(tmp_path, WEAK)
    assert run(tree, "--at-least", "26") == 1
    out = capsys.readouterr().out
    assert out.count("survived  adept_hub/convert/half.py:5\n") == 3
    assert "    -    return x // 2\n    +    return x // 3\n" in out
    assert "4 of 4 mutants: 1 killed, 0 timed out, 3 survived; 25.0% noticed" in out
    assert run(tree, "--at-least", "25") == 0


@forks
def test_the_seed_chooses_and_the_time_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tree_with(tmp_path, WEAK)
    outputs = []
    for seed in ("3", "3", "4"):
        run(tree, "--sample", "2", "--seed", seed)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]
    assert "2 of 4 mutants" in outputs[0]
    assert run(tree, "--minutes", "0") == 1  # nothing tried is not a success
    assert capsys.readouterr().out.startswith("0 of 4 mutants")


@forks
def test_tests_that_fail_without_a_mutant_end_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"test_half\.py fails without a mutant"):
        run(tree_with(tmp_path, "assert half(9) == 5"))
    assert "assert 4 == 5" in capfd.readouterr().err


@forks
def test_a_test_that_hangs_is_ended(tmp_path: Path) -> None:
    with Bench(tree_with(tmp_path, "while True: pass"), ["pytest"]) as bench:
        assert bench.run(Path("tests/convert/test_half.py"), 1) is None
        assert bench.run(Path("adept_hub"), 600) == pytest.ExitCode.NO_TESTS_COLLECTED  # the next run is its own


@forks
def test_processes_that_a_test_leaves_behind_are_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    leaves = f"import os, signal; os.open({str(tmp_path / 'pipe')!r}, os.O_WRONLY); os.fork() or signal.pause()"
    with Bench(tree_with(tmp_path / "tree", leaves), ["pytest"]) as bench:
        assert bench.run(Path("tests/convert/test_half.py"), 600) == 0
        assert select.select([reading], [], [], 60)[0]  # the end of the file, once nobody can write
    os.close(reading)


def test_python_does_not_take_a_module_for_the_cached_one_of_the_mutant_before(tmp_path: Path) -> None:
    with Bench(tree_with(tmp_path, STRONG), []) as bench:
        seconds = set()
        for digit in "123":
            bench.write(MODULE, f"half = {digit}")
            seconds.add(int((bench.tree / MODULE).stat().st_mtime))
    assert len(seconds) == 3


def test_one_line_has_its_own_mutants() -> None:
    name = "training/adept_training/metrics/voc.py"
    every = mutants(ROOT, [name])
    line = every[10].change.line
    chosen = mutants(ROOT, [f"{name}:{line}"])
    assert chosen == [one for one in every if one.change.line == line]
    assert 0 < len(chosen) < len(every)
    with pytest.raises(SystemExit, match="There is no nowhere"):
        mutants(ROOT, ["nowhere"])


@pytest.mark.parametrize(
    ("module", "first", "another"),
    [
        ("training/adept_training/method/rpn.py", "training/method/test_rpn.py", "training/method/test_other_iou.py"),
        ("adept_hub/convert/plan.py", "convert/test_plan.py", "convert/test_matrix.py"),
        # no mirror: those that import it, directly or through tests/training/made.py
        ("training/adept_training/metrics/voc.py", None, "training/metrics/test_metrics.py"),
        # imported by no test: all of its folder
        ("training/adept_training/method/precision.py", None, "training/method/test_levels.py"),
    ],
)
def test_tests_of_a_module_are_its_mirror_and_those_that_import_it(module: str, first: str, another: str) -> None:
    files = [path.relative_to("tests").as_posix() for path in select_tests(ROOT, Path(module))]
    assert another in files
    assert first in (None, files[0])
    assert len(files) == len(set(files))
