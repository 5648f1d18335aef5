import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import DiskFullError, ImageDecodeError, ImagesError, OutputExistsError, ProposalsError
from adept_hub.io.folder_lock import LOCK
from adept_training.images import content_hash, decode
from adept_training.proposals import ProposalTable, filter_boxes, run_proposals, selective_search
from tests.training.proposals.photographs import skimage_photographs

UNREADABLE = "m/broken.jpg"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Twelve small photographs in two folders, two of one name, and a broken file."""
    folder = tmp_path_factory.mktemp("photographs")
    for i, photograph in enumerate(list(skimage_photographs().values())[:12]):
        path = folder / ("a", "z")[i % 2] / f"{i // 2}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photograph[:80, :120]).save(path)
    (folder / "m").mkdir()
    (folder / UNREADABLE).write_bytes(b"\xff\xd8\xff broken")
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file() and path.name != LOCK}


@pytest.fixture(scope="module")
def undisturbed(photographs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "table"
    report = run_proposals(photographs, out, workers=1, shard_size=3)
    assert (report.images, report.unreadable, report.shards, report.resumed_shards) == (12, 1, 5, 0)
    return out


def test_every_row_is_what_its_photograph_gives(photographs, undisturbed):
    table = ProposalTable.open(undisturbed)
    assert table.keys() == [f"{folder}/{i}.png" for folder in "az" for i in range(6)]
    for key in table:
        content = (photographs / key).read_bytes()
        image = decode(content, key)
        height, width = image.shape[:2]
        assert table.size(key) == (width, height)
        assert table.sha256(key) == content_hash(content)
        if not table.fallback(key):
            assert np.array_equal(table.boxes(key), filter_boxes(selective_search(image), (width, height)))


def test_unreadable_photographs_are_listed(undisturbed):
    lines = (undisturbed / "unreadable.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [UNREADABLE]


def test_processes_give_the_same_table(photographs, undisturbed, tmp_path):
    run_proposals(photographs, tmp_path / "table", workers=2, shard_size=3)
    assert content_of(tmp_path / "table") == content_of(undisturbed)


def test_strict_makes_an_unreadable_photograph_fatal(photographs, tmp_path):
    with pytest.raises(ImageDecodeError, match="broken"):
        run_proposals(photographs, tmp_path / "table", workers=1, shard_size=3, strict=True)
    assert (tmp_path / "table/part-00001.parquet").is_file()  # finished before the broken one
    run_proposals(photographs, tmp_path / "table", workers=1, shard_size=3)
    with pytest.raises(ImageDecodeError, match="one of 1"):
        run_proposals(photographs, tmp_path / "table", workers=1, shard_size=3, strict=True)


def test_finished_shards_are_not_done_again(photographs, undisturbed, tmp_path):
    out = tmp_path / "table"
    run_proposals(photographs, out, workers=1, shard_size=3)
    (out / "part-00001.parquet").unlink()
    (out / ".part-00001.parquet.77.tmp").write_bytes(b"half")
    kept = (out / "part-00000.parquet").stat().st_mtime_ns
    seen = []
    report = run_proposals(photographs, out, workers=1, shard_size=3, progress=seen.append)
    assert report.resumed_shards == 4
    assert [(p.done, p.total) for p in seen] == [(10, 13), (11, 13), (12, 13), (13, 13)]
    assert (out / "part-00000.parquet").stat().st_mtime_ns == kept
    assert content_of(out) == content_of(undisturbed)


def test_progress_tells_rate_and_remaining_time(photographs, tmp_path):
    seen = []
    run_proposals(photographs, tmp_path / "table", workers=1, shard_size=3, progress=seen.append)
    assert [p.done for p in seen] == [0, 1, 2, 3, 6, 9, 12, 13]
    assert (seen[0].total, seen[0].rate, seen[0].eta) == (13, 0, 0)
    assert seen[-1].eta == 0
    assert seen[-1].unreadable == 1
    assert all(p.rate > 0 for p in seen[1:])


@pytest.mark.parametrize("change", ["preset", "shard_size", "images"])
def test_another_run_is_not_mixed_in(photographs, undisturbed, change, tmp_path):
    options = {"images": photographs, "preset": "paper", "shard_size": 3}
    options[change] = {"preset": "soco", "shard_size": 4, "images": photographs / "a"}[change]
    before = content_of(undisturbed)
    with pytest.raises(OutputExistsError, match="made differently"):
        run_proposals(out=undisturbed, workers=1, **options)
    assert content_of(undisturbed) == before


def test_a_folder_of_other_parquet_files_is_left_alone(photographs, tmp_path):
    (tmp_path / "part-00000.parquet").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="holds Parquet files of something else"):
        run_proposals(photographs, tmp_path, workers=1)
    assert content_of(tmp_path) == {"part-00000.parquet": b"mine"}


def test_a_photograph_that_memory_does_not_hold_is_one_unreadable_one(photographs, tmp_path, monkeypatch):
    def search(image, preset):
        if image.shape[0] % 2 or counted:
            return selective_search(image, preset)
        counted.append(1)
        raise MemoryError

    counted: list[int] = []
    monkeypatch.setattr("adept_training.proposals.propose.selective_search", search)
    report = run_proposals(photographs, tmp_path / "out", workers=1)
    assert (report.images, report.unreadable) == (11, 2)
    assert "needs more memory than there is. Shrink it" in (tmp_path / "out" / "unreadable.jsonl").read_text()


def test_no_readable_photograph(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"x")
    with pytest.raises(ImagesError, match="None of the 1 images"):
        run_proposals(tmp_path / "photos", tmp_path / "out", workers=1)
    assert "a.jpg" in (tmp_path / "out/unreadable.jsonl").read_text()


@pytest.mark.parametrize(("option", "value"), [("workers", 0), ("engine", "spark"), ("shard_size", 0)])
def test_impossible_options(photographs, tmp_path, option, value):
    with pytest.raises(ProposalsError, match=r"at least 1|Unknown engine"):
        run_proposals(photographs, tmp_path / "out", **{"workers": 1, option: value})


def test_out_must_not_be_a_file(photographs, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputExistsError, match="is a file"):
        run_proposals(photographs, tmp_path / "out", workers=1)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_full_disk_keeps_what_is_finished(photographs, undisturbed, tmp_path, monkeypatch):
    calls = []

    def full(descriptor):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        calls.append(descriptor)
        if len(calls) == 4:  # the plan, two shards, and then
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="Finished shards are kept"):
        run_proposals(photographs, tmp_path / "out", workers=1, shard_size=3)
    assert sorted(content_of(tmp_path / "out")) == ["part-00000.parquet", "part-00001.parquet", "plan.json"]
    run_proposals(photographs, tmp_path / "out", workers=1, shard_size=3)
    assert content_of(tmp_path / "out") == content_of(undisturbed)


def test_shards_of_webdataset(photographs, undisturbed, tmp_path):
    with tarfile.open(tmp_path / "photos-000.tar", "w") as tar:
        for path in sorted((photographs / "a").iterdir()):
            tar.add(path, path.name)
    run_proposals(tmp_path / "photos-000.tar", tmp_path / "out", workers=2)
    table, expected = ProposalTable.open(tmp_path / "out"), ProposalTable.open(undisturbed)
    assert table.keys() == [f"photos-000.tar/{i}.png" for i in range(6)]
    for i in range(6):
        assert np.array_equal(table.boxes(f"photos-000.tar/{i}.png"), expected.boxes(f"a/{i}.png"))


# --- interruptions -----------------------------------------------------------------------------------------------

SLOW_RUN = """
import sys, time
from adept_training.cli import proposals as command
from adept_training.proposals import propose, run
import argparse
def slow(original):
    def work(*arguments):
        time.sleep(0.1)
        return original(*arguments)
    return work
written = []
def stop(original):
    def work(*arguments):
        original(*arguments)
        written.append(arguments)
        if len(written) == int(sys.argv[1]):
            time.sleep(600)  # until it is killed
    return work
propose._propose_one = slow(propose._propose_one)  # in this process; spawned workers are not slowed
run.write_shard = stop(run.write_shard)
parser = argparse.ArgumentParser()
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args(sys.argv[2:])))
"""


def start(photographs, out, workers, shards=0):
    arguments = [photographs, "--out", out, "--shard-size", 3, "--workers", workers]
    command = [sys.executable, "-c", SLOW_RUN, str(shards), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition):
    for _ in range(2400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("nothing happened for two minutes")


@pytest.mark.parametrize("shards", [1, 3])
def test_a_killed_run_is_continued_to_the_same_table(photographs, undisturbed, tmp_path, shards):
    out = tmp_path / "out"
    process = start(photographs, out, workers=1, shards=shards)
    wait_for(lambda: len(list(out.glob("part-*.parquet"))) >= shards)
    process.kill()
    process.communicate()
    assert len(list(out.glob("part-*.parquet"))) == shards
    with pytest.raises(ProposalsError, match="not finished"):
        ProposalTable.open(out)
    run_proposals(photographs, out, workers=1, shard_size=3)
    assert content_of(out) == content_of(undisturbed)


def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(photographs, undisturbed, tmp_path):
    out = tmp_path / "out"
    process = start(photographs, out, workers=2, shards=2)
    wait_for(lambda: len(list(out.glob("part-*.parquet"))) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and workers alike
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "Finished shards are kept" in errors
    run_proposals(photographs, out, workers=1, shard_size=3)
    assert content_of(out) == content_of(undisturbed)


def test_ctrl_c_while_the_workers_end_is_not_swallowed(photographs, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        end(*arguments, **options)
        raise KeyboardInterrupt

    end = ProcessPoolExecutor.shutdown
    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_proposals(photographs, tmp_path / "table", workers=2, shard_size=3)


def test_workers_do_not_outlive_a_killed_parent(photographs, tmp_path):
    process = start(photographs, tmp_path / "out", workers=2)
    wait_for(lambda: list((tmp_path / "out").glob("plan.json")))
    wait_for(lambda: len(members(process.pid)) >= 3)
    process.kill()
    process.communicate()
    wait_for(lambda: not members(process.pid))


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name_and_rest = status.read_text().rsplit(")", 1)
        except OSError:
            continue
        state, _, of_group = name_and_rest[1].split()[:3]
        if int(of_group) == group and state != "Z":
            found.append(int(status.parent.name))
    return found
