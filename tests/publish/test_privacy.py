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
