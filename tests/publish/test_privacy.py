"""What is published names no folder of the machine that trained it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import adept_hub
from adept_hub.errors import PublishError
from tests.hub.loopback import Hub
from tests.publish.published import files_of

ASKED = {"images": "/data/patients", "trackers": ["wandb"], "report": True, "init": None}


def test_the_log_goes_up_without_its_texts_and_stays_whole_here(hub: Hub, run: Path) -> None:
    records = [
        {"kind": "start", "time": 1.5, "step": 0, "asked": ASKED, "precision": "bf16", "precision_reason": "/data/a"},
        {"kind": "passed_over", "step": 0, "text": "/data/b is damaged", "files": ["/c", 3], "of": {"d": "/d"}},
        {"kind": "probe", "step": 2, "boxes": [[[0.1, 2.0]]], "rank": None, "by": {"p2": 7}},
        {"kind": "end", "step": 2, "interrupted": False, "error": "/data/e"},
    ]  # fmt: skip
    local = "".join(json.dumps(record) + "\n" for record in records) + '{"kind": "train", "file": "/data/torn'
    (run / "log.jsonl").write_text(local)
    published = adept_hub.push_to_hub(run, "org/mine")
    log = files_of(hub, "org/mine")["log.jsonl"]
    assert [json.loads(line) for line in log.splitlines()] == [
        {"kind": "start", "time": 1.5, "step": 0, "precision": "bf16"},
        {"kind": "passed_over", "step": 0, "files": [3], "of": {}},
        {"kind": "probe", "step": 2, "boxes": [[[0.1, 2.0]]], "rank": None, "by": {"p2": 7}},
        {"kind": "end", "step": 2, "interrupted": False},
    ]
    assert dict(published.files)["log.jsonl"] == len(log)
    assert dict(adept_hub.push_to_hub(run, "org/mine", dry_run=True).files)["log.jsonl"] == len(log)
    assert (run / "log.jsonl").read_text() == local


@pytest.mark.parametrize("name", ["recipe.yaml", "results/a.csv", "results/b.json", "export/README.md"])
@pytest.mark.parametrize("of", ["run", "home"])
def test_a_text_that_names_the_run_or_the_home_is_refused(
    hub: Hub, run: Path, name: str, of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "hôme"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    private = str(run if of == "run" else home)
    (run / "results").mkdir()
    for text in (private, f"see {private}/x", json.dumps({"a": private}), json.dumps([private], ensure_ascii=False)):
        (run / name).write_text(text, encoding="utf-8")
        with pytest.raises(PublishError, match=r"a folder of this machine, which would be published\.\nRemove it"):
            adept_hub.push_to_hub(run, "org/mine")
    for text in (f"{private}-2", f"https://example.com{private}".replace(str(tmp_path), "/a"), "home"):
        (run / name).write_text(text, encoding="utf-8")
        assert adept_hub.push_to_hub(run, "org/mine", dry_run=True).files
    assert hub.log == []


@pytest.mark.parametrize(
    ("recorded", "private"),
    [
        ({"log.jsonl": {"kind": "start", "asked": ASKED}}, "/data/patients"),
        ({"log.jsonl": {"kind": "start", "asked": {"init": "moco:/srv/secret/r50.pth"}}}, "/srv/secret"),
        ({"run.json": {"data": "coco:/lab/a b/train.json:/lab/c coco:/lab/d.json:/lab/e"}}, "/lab/a b"),
        ({"run.json": {"data": "coco:/lab/train.json:/lab/photos coco:/lab/val.json:/lab/more"}}, "/lab/photos"),
        ({"run.json": {"data": "x", "image_ids": {"voc:/lab/scans": [1]}}}, "/lab/scans"),
        ({"run.json": {"unlabeled": {"images": "/lab/unlabeled"}}}, "/lab/unlabeled"),
        ({"log.jsonl": {"kind": "start", "asked": {"images": "/lab/shards/train-{000..031}.tar"}}}, "/lab/shards"),
    ],
)  # fmt: skip
def test_a_text_that_names_the_images_of_the_run_is_refused(
    run: Path, recorded: dict[str, object], private: str
) -> None:
    for name, content in recorded.items():
        (run / name).write_text(json.dumps(content) + "\n")
    for text in (private, f"see {private}/001.jpg", json.dumps({"a": private})):
        (run / "recipe.yaml").write_text(text)
        with pytest.raises(PublishError, match=rf"contains {private}, a folder of this machine, which"):
            adept_hub.push_to_hub(run, "org/mine", dry_run=True)
    for text in (f"{private}-2", f"https://example.com{private}", Path(private).name):
        (run / "recipe.yaml").write_text(text)
        assert adept_hub.push_to_hub(run, "org/mine", dry_run=True).files


def test_the_images_of_a_list_and_of_a_relative_path(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans" / "deep").mkdir(parents=True)
    (tmp_path / "scans" / "list.txt").write_text("a.jpg")
    monkeypatch.chdir(tmp_path)
    for images in (f"{tmp_path}/scans/list.txt", "scans/deep", "voc:scans coco:scans/list.txt:scans/deep"):
        (run / "log.jsonl").write_text(json.dumps({"kind": "start", "asked": {"images": images}}) + "\n")
        (run / "recipe.yaml").write_text(f"{tmp_path}/scans/deep/7.jpg")
        with pytest.raises(PublishError, match=f"contains {tmp_path}/scans.*, a folder of this machine"):
            adept_hub.push_to_hub(run, "org/mine", dry_run=True)


@pytest.mark.parametrize("text", ["~/photos/7.jpg", "{home}/photos", "{home}"])
def test_a_path_that_begins_with_the_home(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The shell leaves ``~`` after a colon as it is."""
    home = str(tmp_path / "home")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("USERPROFILE", home)
    (run / "run.json").write_text(json.dumps({"data": "voc:x coco:~/labels/a.json:~/photos"}))
    (run / "recipe.yaml").write_text(text.format(home=home))
    with pytest.raises(PublishError, match="a folder of this machine"):
        adept_hub.push_to_hub(run, "org/mine", dry_run=True)
    (run / "recipe.yaml").write_text("~/photos-2, a~/photos, ~/label")
    assert adept_hub.push_to_hub(run, "org/mine", dry_run=True).files


@pytest.mark.parametrize(
    ("host", "texts", "harmless"),
    [
        ("gpu-node-17", ["on gpu-node-17", "alice@gpu-node-17:~/x"], ["gpu-node-170", "alice/model", "by alice"]),
        ("node17.lab.example", ["node17.lab.example,", "alice@node17"], ["node17", "x.node17.lab.example"]),
        ("box", ["/home/alice/x", "/Users/alice", r"C:\Users\alice", json.dumps(r"C:\Users\alice"), "alice@box"],
         ["a box", "alice", "/home/alice2", "https://example.com/home/alice", "hf-hub:alice/model"]),
        ("localhost.localdomain", [], ["localhost.localdomain"]),
    ],
)  # fmt: skip
def test_names_of_the_machine_and_of_the_user_where_they_are_unmistakable(
    run: Path, monkeypatch: pytest.MonkeyPatch, host: str, texts: list[str], harmless: list[str]
) -> None:
    monkeypatch.setattr("platform.node", lambda: host)
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    for text in texts:
        (run / "recipe.yaml").write_text(text)
        with pytest.raises(PublishError, match=r"the name of (this machine|the user), which would be published"):
            adept_hub.push_to_hub(run, "org/mine", dry_run=True)
    for text in harmless:
        (run / "recipe.yaml").write_text(text)
        assert adept_hub.push_to_hub(run, "org/mine", dry_run=True).files


def test_a_user_without_a_name(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container whose user has no entry."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert adept_hub.push_to_hub(run, "org/mine", dry_run=True).files
