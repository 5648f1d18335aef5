import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from adept_hub.errors import DiskFullError, ProposalsError
from adept_training.proposals import ProposalTable, get_preset
from adept_training.proposals.table import index
from adept_training.proposals.table.shards import (
    ProposalRow,
    TablePlan,
    Unreadable,
    keys_digest,
    write_atomically,
    write_shard,
)

KEYS = ["a/x.jpg", "b/x.jpg", "b/ü ñ.png", "c.jpg", "d.jpg"]


def row(key, count, fallback=False):
    boxes = np.arange(4 * count, dtype=np.float32).reshape(-1, 4) + len(key) / 2
    return ProposalRow(key, 100 + count, 50, boxes, fallback, hashlib.sha256(key.encode()).digest())


@pytest.fixture
def folder(tmp_path):
    plan = TablePlan(len(KEYS), 2, keys_digest(KEYS), get_preset("paper").as_dict(), {"name": "test"}, "test")
    write_atomically(tmp_path / "plan.json", plan.as_json().encode())
    write_shard(tmp_path, plan, 0, [row(KEYS[0], 3), row(KEYS[1], 1)], [])
    write_shard(tmp_path, plan, 1, [row(KEYS[2], 7)], [Unreadable(KEYS[3], "no image")])
    write_shard(tmp_path, plan, 2, [row(KEYS[4], 2, fallback=True)], [])
    return tmp_path


def test_what_was_written_is_read(folder):
    table = ProposalTable.open(folder)
    assert len(table) == 4
    assert table.keys() == [KEYS[0], KEYS[1], KEYS[2], KEYS[4]]
    for key, count in zip(table.keys(), (3, 1, 7, 2), strict=True):
        expected = row(key, count)
        assert table.boxes(key).dtype == np.float32
        assert np.array_equal(table.boxes(key), expected.boxes)
        assert table.size(key) == (100 + count, 50)
        assert table.fallback(key) is (key == "d.jpg")
        assert table.sha256(key) == expected.sha256
        assert key in table
    assert "c.jpg" not in table
    assert table.metadata["preset"]["name"] == "paper"


def test_boxes_are_a_read_only_view_of_the_file(folder):
    boxes = ProposalTable.open(folder).boxes("a/x.jpg")
    assert not boxes.flags.writeable
    assert not boxes.flags.owndata


def test_a_table_travels_to_workers_by_its_path(folder):
    content = pickle.dumps(ProposalTable.open(folder))
    assert len(content) < 1000
    assert np.array_equal(pickle.loads(content).boxes("b/x.jpg"), row("b/x.jpg", 1).boxes)


def test_other_programs_can_read_it(folder):
    table = pq.read_table(folder / "part-00000.parquet", partitioning=None)
    assert table.column_names == ["key", "width", "height", "boxes", "fallback", "sha256"]
    assert table["boxes"].to_pylist()[1] == row(KEYS[1], 1).boxes.tolist()
    assert b'"scale": 500' in table.schema.metadata[b"adept_proposals"]


def test_an_unknown_key_is_an_error(folder):
    with pytest.raises(ProposalsError, match=r"No proposals for 'c\.jpg'"):
        ProposalTable.open(folder).boxes("c.jpg")


def test_keys_whose_hashes_collide(folder, monkeypatch):
    monkeypatch.setattr("adept_training.proposals.table.index.hash_of", lambda name: np.uint64(7))
    monkeypatch.setattr("adept_training.proposals.table.store.hash_of", lambda name: np.uint64(7))
    table = ProposalTable.open(folder)
    assert [len(table.boxes(key)) for key in table] == [3, 1, 7, 2]
    assert "nobody" not in table


def test_the_index_follows_the_shards(folder):
    assert len(ProposalTable.open(folder).boxes("d.jpg")) == 2
    plan = TablePlan(len(KEYS), 2, keys_digest(KEYS), get_preset("paper").as_dict(), {"name": "test"}, "test")
    write_shard(folder, plan, 2, [row(KEYS[4], 5)], [])
    assert len(ProposalTable.open(folder).boxes("d.jpg")) == 5


def test_the_index_follows_a_shard_of_the_same_size(folder, tmp_path_factory):
    """A shard is written again with other boxes in as many bytes: only the time of its file tells."""
    shard = folder / "part-00002.parquet"
    plan = TablePlan(len(KEYS), 2, keys_digest(KEYS), get_preset("paper").as_dict(), {"name": "test"}, "test")
    assert len(ProposalTable.open(folder)) == 4
    other = row(KEYS[4], 2, fallback=True)
    moved = dataclasses.replace(other, boxes=other.boxes[::-1].copy())
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_shard(elsewhere, plan, 2, [moved], [])
    content = (elsewhere / shard.name).read_bytes()
    assert len(content) == shard.stat().st_size
    assert content != shard.read_bytes()
    shard.write_bytes(content)
    assert np.array_equal(ProposalTable.open(folder).boxes(KEYS[4]), moved.boxes)


def test_a_table_on_a_read_only_disk(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("adept_training.proposals.table.index.os.access", lambda path, mode: path != folder)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("pathlib.Path.home", lambda: home)
    assert len(ProposalTable.open(folder)) == 4
    assert not (folder / "index").exists()
    shutil.rmtree(folder / "index", ignore_errors=True)
    assert len(ProposalTable.open(folder)) == 4


def test_a_table_that_no_index_can_be_written_for(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(index.os, "access", lambda path, mode: False)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "home")
    with pytest.raises(ProposalsError, match=r"Neither .* nor .*home can be written"):
        ProposalTable.open(folder)


def test_a_table_without_rows(tmp_path):
    plan = TablePlan(1, 2, keys_digest(KEYS[:1]), get_preset("paper").as_dict(), {"name": "test"}, "test")
    write_atomically(tmp_path / "plan.json", plan.as_json().encode())
    write_shard(tmp_path, plan, 0, [], [Unreadable(KEYS[0], "no image")])
    with pytest.raises(ProposalsError, match="has no rows: none of its images could be read"):
        ProposalTable.open(tmp_path)


def test_of_two_processes_that_make_the_index_the_faster_one_is_believed(folder, monkeypatch):
    """The other's lies in place when this one's is moved there; of another table's it would be an error."""
    ProposalTable.open(folder)
    shutil.move(folder / "index", folder / "faster")
    replace = type(folder).replace

    def late(path, target):
        if target == folder / "index":
            shutil.copytree(folder / "faster", target)
            raise OSError(39, "Directory not empty")
        return replace(path, target)

    monkeypatch.setattr("pathlib.Path.replace", late)
    assert len(ProposalTable.open(folder).boxes("b/ü ñ.png")) == 7
    shutil.rmtree(folder / "index")
    (folder / "faster" / "fingerprint").write_text("of another table")
    with pytest.raises((OSError, DiskFullError)):
        ProposalTable.open(folder)


def test_an_index_that_is_changed_while_it_is_made(folder, monkeypatch):
    monkeypatch.setattr(index, "_load", lambda *_: None)
    with pytest.raises(ProposalsError, match=r"was changed while it was made\.\nRun the same command again"):
        ProposalTable.open(folder)


def damage_nothing(folder):
    (folder / "plan.json").unlink()


def damage_foreign(folder):
    (folder / "plan.json").write_text('{"format": "something else"}')


def damage_not_json(folder):
    (folder / "plan.json").write_text("{")


def damage_unfinished(folder):
    (folder / "part-00001.parquet").unlink()


def damage_broken(folder):
    (folder / "part-00001.parquet").write_bytes(b"PAR1 nothing PAR1")


def damage_field_missing(folder):
    content = json.loads((folder / "plan.json").read_text())
    del content["decoder"]
    (folder / "plan.json").write_text(json.dumps(content))


def damage_exchanged(folder):
    parts = [folder / f"part-0000{i}.parquet" for i in (0, 1)]
    for path, content in zip(parts, [path.read_bytes() for path in parts[::-1]], strict=True):
        path.write_bytes(content)


def damage_mixed(folder):
    plan = TablePlan(len(KEYS), 2, keys_digest(KEYS), get_preset("soco").as_dict(), {"name": "test"}, "test")
    write_shard(folder, plan, 1, [row(KEYS[2], 7)], [])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_nothing, "adept proposals IMAGES --out"),
        (damage_foreign, "not written by this version"),
        (damage_not_json, "not valid JSON"),
        (damage_unfinished, "not finished: part-00001.parquet of 3 shards is missing"),
        (damage_broken, "damaged"),
        (damage_mixed, "belongs to another run"),
        (damage_field_missing, "not written by this version"),
        (damage_exchanged, "part-00000.parquet was not written by adept proposals"),
    ],
)
def test_what_is_no_table_is_told(folder, damage, message):
    damage(folder)
    with pytest.raises(ProposalsError, match=message) as caught:
        ProposalTable.open(folder)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="the same command"):
        write_atomically(tmp_path / "part-00000.parquet", b"content")
    assert list(tmp_path.iterdir()) == []


INDEX = """
import sys
import numpy as np
from pathlib import Path
from adept_hub.errors import DiskFullError
from adept_training.proposals import ProposalTable, get_preset
from adept_training.proposals.table.shards import ProposalRow, TablePlan, keys_digest, write_atomically, write_shard
folder = Path(sys.argv[1])
boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (400_000, 1))  # 6.4 MB, a few kB in Parquet
plan = TablePlan(1, 1, keys_digest(["a"]), get_preset("paper").as_dict(), {"name": "test"}, "test")
write_atomically(folder / "plan.json", plan.as_json().encode())
write_shard(folder, plan, 0, [ProposalRow("a", 10, 10, boxes, False, bytes(32))], [])
try:
    ProposalTable.open(folder)
except DiskFullError as error:
    sys.exit(0 if "No space left" in str(error) else str(error))
sys.exit("it fitted")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
def test_an_index_that_a_full_disk_cannot_hold_is_an_error_and_no_bus_error(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-c", INDEX, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-1000:]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["part-00000.parquet", "plan.json"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
