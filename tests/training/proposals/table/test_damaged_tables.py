"""Tables that a crash tore are made again; those with senseless boxes, or of another program, are refused."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adept_hub.cli.main import main
from adept_hub.errors import ProposalsError
from adept_training.proposals import ProposalTable, get_preset
from adept_training.proposals.table.index import _ARRAYS
from adept_training.proposals.table.shards import ProposalRow, TablePlan, keys_digest, write_atomically, write_shard

KEYS = ["a.png", "b.png", "c.png"]
BOXES = np.array([[1, 2, 30, 20], [0, 0, 64, 48]], np.float32)


def plan_of(**changes) -> TablePlan:
    values = {"images": 3, "shard_size": 2, "keys_sha256": keys_digest(KEYS), "preset": get_preset("paper").as_dict()}
    return TablePlan(**{**values, "engine": {"name": "test"}, "decoder": "test", **changes})


def rows(**boxes) -> list[ProposalRow]:
    return [ProposalRow(key, 64, 48, boxes.get(key[0], BOXES), False, bytes([i] * 32)) for i, key in enumerate(KEYS)]


@pytest.fixture
def folder(tmp_path):
    made = rows()
    write_atomically(tmp_path / "plan.json", plan_of().as_json().encode())
    write_shard(tmp_path, plan_of(), 0, made[:2], [])
    write_shard(tmp_path, plan_of(), 1, made[2:], [])
    return tmp_path


def read(folder) -> dict[str, list]:
    table = ProposalTable.open(folder)
    return {key: table.boxes(key).tolist() for key in table}


# --- a torn index ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*_ARRAYS, "fingerprint"])
@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "gone"])
def test_a_torn_index_is_made_again(folder, name, damage) -> None:
    expected = read(folder)
    path = next(iter((folder / "index").glob(f"{name}*")))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) - 3], "garbage": b"\xff" * len(content)}[damage])
    assert read(folder) == expected
    assert path.read_bytes() == content


def test_arrays_that_do_not_fit_each_other_are_made_again(folder) -> None:
    expected = read(folder)
    for name, value in [("starts", np.array([0, 2, 4, 9])), ("starts", np.array([0, 5, 4, 6])),
                        ("rows_R", np.array([0, 1, 7], np.int32)), ("fallback_R", np.zeros(2, np.bool_)),
                        ("boxes_B4", np.zeros((6, 4)))]:  # fmt: skip
        np.save(folder / "index" / f"{name}.npy", value)
        assert read(folder) == expected


# --- boxes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "box",
    [[1, 2, np.nan, 20], [-np.inf, 2, 30, 20], [1, 2, np.inf, 20], [1, 2, 300, 20], [-9, 2, 30, 20], [1, 2, 30, 49],
     [30, 2, 1, 20], [1, 2, 1, 20], [1e30, 2, 2e30, 20]],
)  # fmt: skip
def test_boxes_that_are_none_or_outside_are_refused(folder, box, tmp_path, capsys) -> None:
    bad = np.array([[1, 2, 30, 20], box], np.float32)
    write_shard(folder, plan_of(), 1, rows(c=bad)[2:], [])
    with pytest.raises(ProposalsError, match=r"1 boxes of 1 images .*; the first image: 'c\.png'"):
        ProposalTable.open(folder)
    assert not (folder / "index").exists()
    assert main(["proposals", "show", str(folder), "--images", str(tmp_path), "--out", str(tmp_path / "look")]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_boxes_up_to_the_edges_are_sound(folder) -> None:
    write_shard(folder, plan_of(), 1, rows(c=np.array([[0, 0, 64, 48]], np.float32))[2:], [])
    assert read(folder)["c.png"] == [[0, 0, 64, 48]]


# --- foreign tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"shard_size": 0}, {"shard_size": -2}, {"images": 0}, {"images": "3"}, {"shard_size": 2.0}, {"preset": None},
     {"preset": {}}, {"engine": {}}, {"engine": {"name": 3}}, {"decoder": 1}, {"keys_sha256": None}],
)  # fmt: skip
def test_a_plan_with_senseless_fields(folder, changes) -> None:
    content = json.loads((folder / "plan.json").read_text()) | changes
    (folder / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ProposalsError, match="was not written by this version"):
        ProposalTable.open(folder)


def test_a_plan_that_is_nested_too_deep(folder) -> None:
    (folder / "plan.json").write_text("[" * 50_000)
    with pytest.raises(ProposalsError, match="nested too deeply"):
        ProposalTable.open(folder)


def test_a_plan_that_is_a_pipe(folder) -> None:
    (folder / "plan.json").unlink()
    os.mkfifo(folder / "plan.json")
    with pytest.raises(ProposalsError, match="not a regular file"):
        ProposalTable.open(folder)


def rewrite(folder, change) -> None:
    """Write the second shard anew, its metadata kept."""
    path = folder / "part-00001.parquet"
    table = pq.read_table(path, partitioning=None)
    metadata = table.schema.metadata
    changed = change(table)
    pq.write_table(changed.replace_schema_metadata({**metadata, **(changed.schema.metadata or {})}), path)


def other_type(table: pa.Table) -> pa.Table:
    return table.set_column(1, "width", table["width"].cast(pa.float64()))


def without_column(table: pa.Table) -> pa.Table:
    return table.drop_columns(["fallback"])


def with_nulls(table: pa.Table) -> pa.Table:
    return table.set_column(2, "height", pa.array([None], pa.int32()))


def five_numbers(table: pa.Table) -> pa.Table:
    return table.set_column(
        3, "boxes", pa.array([[[1.0, 2.0, 3.0, 4.0, 5.0]] * 2], pa.list_(pa.list_(pa.float32(), 5)))
    )


def more_rows(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table])


def fewer_boxes(table: pa.Table) -> pa.Table:
    return table.set_column(3, "boxes", pa.array([[[1.0, 2.0, 3.0, 4.0]]], table["boxes"].type))


def a_note_of(**changes):
    def change(table: pa.Table) -> pa.Table:
        note = json.loads(table.schema.metadata[b"adept_shard"]) | changes
        return table.replace_schema_metadata({b"adept_shard": json.dumps(note)})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_type, "its column 'width' is double, not int32"),
        (without_column, "its column 'fallback' is None"),
        (with_nulls, "damaged"),
        (five_numbers, "its column 'boxes' is"),
        (more_rows, "has 2 rows and 4 boxes where its own summary has 2 and 2"),
        (fewer_boxes, "not written by adept proposals"),
        (a_note_of(shard=0), "not written by adept proposals"),
        (a_note_of(boxes="2"), "not written by adept proposals"),
        (a_note_of(boxes=10**12), "not written by adept proposals"),
        (a_note_of(boxes=1), "has 1 rows and 2 boxes where its own summary has 1 and 1"),
        (a_note_of(unreadable=[{}]), "not written by adept proposals"),
        (a_note_of(unreadable=None), "not written by adept proposals"),
    ],
)
def test_a_shard_of_another_program(folder, change, message) -> None:
    rewrite(folder, change)
    with pytest.raises(ProposalsError, match=message) as caught:
        ProposalTable.open(folder)
    assert len(str(caught.value).splitlines()) <= 3
    assert not list(folder.glob(".index*"))


def test_names_in_a_shard_that_are_not_utf8(folder) -> None:
    path = folder / "part-00001.parquet"
    path.write_bytes(path.read_bytes().replace(b"c.png", b"\xff.png"))
    with pytest.raises(ProposalsError):
        ProposalTable.open(folder)


def test_flipped_bits_in_a_shard_are_told(folder) -> None:
    path = folder / "part-00001.parquet"
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 8):
            damaged[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        shutil.rmtree(folder / "index", ignore_errors=True)
        try:
            ProposalTable.open(folder)
        except ProposalsError:
            continue
