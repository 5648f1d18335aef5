"""Publishing: what goes up comes down the same, in one commit, and what is not fit stays here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from huggingface_hub.utils import _http

import adept_hub
from adept_hub.cards.card import BEGIN, END
from adept_hub.checkpoint.folder import WEIGHTS
from adept_hub.errors import (
    PublishError,
)
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER
from tests.publish.published import UP, files_of

# --- push ----------------------------------------------------------------------------------------------------------


def test_a_run_goes_up_in_one_commit_and_comes_down_the_same(hub: Hub, run: Path, tmp_path: Path) -> None:
    published = adept_hub.push_to_hub(run, "org/mine")
    assert [path for path, _ in published.files] == UP
    repo = hub.repos["org/mine"]
    assert len(repo.commits) == 2, "the repository's first commit, and ours"
    assert repo.refs["main"] == published.commit
    files = files_of(hub, "org/mine")
    assert sorted(set(files) - {".gitattributes"}) == UP
    assert files[WEIGHTS] == (run / "export" / WEIGHTS).read_bytes()
    assert {path: len(files[path]) for path in UP} == dict(published.files)
    assert published.source == f"hf-hub:org/mine@{published.commit}"
    hub.log.clear()
    model = adept_hub.load_pretrained(published.source, num_classes=3, cache_dir=tmp_path / "cache")
    assert model.load_report.loaded == 200
    hub.log.clear()
    adept_hub.load_pretrained(published.source, cache_dir=tmp_path / "cache", offline=True)
    assert hub.log == []


def test_results_go_up_in_both_of_the_hubs_forms(hub: Hub, run: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub", minversion="1.10", reason="reads .eval_results")
    from huggingface_hub import ModelCard

    adept_hub.push_to_hub(run, "org/mine")
    files = files_of(hub, "org/mine")
    entries = huggingface_hub.parse_eval_result_entries(yaml.safe_load(files[".eval_results/voc2007-test.yaml"]))
    assert [(e.dataset_id, e.task_id, e.value) for e in entries] == [
        ("voc2007-test", "ap50", 41.5),
        ("voc2007-test", "ap", 20.25),
        ("voc2007-test", "tide-loc", 6.5),
    ]
    assert entries[0].notes == "self-reported; ± 0.3, 3 seeds; adept evaluate runs/x --data voc:VOC2007"
    card = ModelCard(files["README.md"].decode())
    results = card.data.eval_results
    assert {(r.dataset_name, r.metric_type, r.metric_value) for r in results} == {
        ("VOC2007 test", "ap50", 41.5),
        ("VOC2007 test", "ap", 20.25),
        ("VOC2007 test", "tide-loc", 6.5),
    }, "the paper's figures are those of other weights"
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "adept-hub")
    assert 'load_pretrained("hf-hub:org/mine"' in card.text
    assert "![top proposals](pictures/top_proposals.png)" in card.text


def test_what_a_person_wrote_on_the_card_is_kept(hub: Hub, run: Path) -> None:
    adept_hub.push_to_hub(run, "org/mine")
    repo = hub.repos["org/mine"]
    files = files_of(hub, "org/mine")
    mine = "## A warning\n\nNot for mushrooms."
    edited = files["README.md"].decode().replace(f"{BEGIN}\n", f"{BEGIN}\n{mine}\n").replace("## Parts", "## Ruined")
    repo.add("main", files | {"README.md": edited.encode()})
    adept_hub.push_to_hub(run, "org/mine", message="again")
    card = files_of(hub, "org/mine")["README.md"].decode()
    assert card.split(BEGIN)[1].split(END)[0].strip() == mine
    assert "## Parts" in card
    assert repo.commits[repo.refs["main"]].message == "again"


def test_a_card_that_was_written_wholly_by_hand_is_kept_whole(hub: Hub, run: Path) -> None:
    hub.repo("org/mine", {"README.md": b"---\nlicense: mit\n---\n\n# My detector\n\nHello."})
    adept_hub.push_to_hub(run, "org/mine")
    card = files_of(hub, "org/mine")["README.md"].decode()
    assert card.split(BEGIN)[1].split(END)[0].strip() == "# My detector\n\nHello."
    assert "license: apache-2.0" in card


def test_a_dry_run_makes_no_request_and_says_what_would_go_up(hub: Hub, run: Path) -> None:
    published = adept_hub.push_to_hub(run, "org/mine", dry_run=True)
    assert [path for path, _ in published.files] == UP
    assert (published.commit, published.url, published.source) == ("", "", "hf-hub:org/mine")
    assert hub.log == []


def test_private_pull_requests_and_branches(hub: Hub, run: Path, tmp_path: Path) -> None:
    adept_hub.push_to_hub(run, "org/secret", private=True)
    assert hub.repos["org/secret"].private
    (run / "recipe.yaml").write_text("method: {name: soco}\n")
    proposed = adept_hub.push_to_hub(run, "org/secret", create_pr=True, message="better", private=True)
    assert proposed.pull_request.startswith(f"{hub.endpoint}/org/secret/discussions/")
    assert hub.repos["org/secret"].refs["main"] != proposed.commit
    (run / "log.jsonl").write_text('{"step": 2, "loss": 1.0}\n')
    branch = adept_hub.push_to_hub(run, "org/secret", revision="v2", private=True)
    assert hub.repos["org/secret"].refs["v2"] == branch.commit
    assert files_of(hub, "org/secret", "v2")["log.jsonl"] != files_of(hub, "org/secret")["log.jsonl"]
    state = adept_hub.load_state_dict("hf-hub:org/secret", revision="v2", cache_dir=tmp_path / "cache")
    assert len(state) == 200


def test_every_file_of_a_run_that_is_published_and_no_other(run: Path) -> None:
    """Beside the checkpoint, and in its run; a megabyte is small."""
    own = {"recipe.yaml", "log.jsonl", "results/a.csv", "results/b.json", "pictures/c.png", "pictures/d.jpg"}
    (run / "pictures" / "top_proposals.png").unlink()
    for root in (run, run / "export"):
        for name in (*own, "results/e.txt", "notes.md", "pictures/f.gif", "checkpoints/step-2.pt", "results/g/h.csv"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(bytes(1 << 20))
    listed = dict(adept_hub.push_to_hub(run, "org/mine", dry_run=True).files)
    assert set(listed) == {"README.md", "config.json", WEIGHTS, ".eval_results/voc2007-test.yaml", *own}
    assert {listed[name] for name in own - {"log.jsonl"}} == {1 << 20}
    assert listed["log.jsonl"] == 0, "no line of it is a record"
    with (run / "results" / "a.csv").open("r+b") as stream:
        stream.truncate(64 << 20)
    adept_hub.push_to_hub(run, "org/mine", dry_run=True)
    with (run / "results" / "a.csv").open("r+b") as stream:
        stream.truncate((64 << 20) + 1)
    with pytest.raises(PublishError, match=r"results/a.csv has more than 64 MB"):
        adept_hub.push_to_hub(run, "org/mine", dry_run=True)


def test_a_branch_grows_from_its_own_commits(hub: Hub, run: Path) -> None:
    """Not from those of main, which has gone its own way."""
    adept_hub.push_to_hub(run, "org/mine", revision="v2")
    repo = hub.repos["org/mine"]
    repo.add("main", {"README.md": b"# Something else"})
    before = repo.refs["v2"]
    card = files_of(hub, "org/mine", "v2")["README.md"].decode().replace(f"{BEGIN}\n", f"{BEGIN}\nof the branch\n")
    repo.add("v2", files_of(hub, "org/mine", "v2") | {"README.md": card.encode()}, parent=before)
    (run / "log.jsonl").write_text('{"step": 3, "loss": 0.5}\n')
    second = adept_hub.push_to_hub(run, "org/mine", revision="v2")
    assert repo.refs["v2"] == second.commit != before
    files = files_of(hub, "org/mine", "v2")
    assert files["log.jsonl"] == b'{"step": 3, "loss": 0.5}\n'
    assert "of the branch" in files["README.md"].decode()
    assert files_of(hub, "org/mine") == {"README.md": b"# Something else"}


def test_publishing_the_same_twice_makes_no_second_commit(hub: Hub, run: Path) -> None:
    first = adept_hub.push_to_hub(run, "org/mine")
    assert adept_hub.push_to_hub(run, "org/mine").commit == first.commit
    assert len(hub.repos["org/mine"].commits) == 2


def test_a_public_repository_does_not_take_what_should_be_private(hub: Hub, run: Path) -> None:
    hub.repo("org/open")
    with pytest.raises(PublishError, match="is public"):
        adept_hub.push_to_hub(run, "org/open", private=True)
    assert len(hub.repos["org/open"].commits) == 1


def test_large_files_go_up_in_parts(hub: Hub, make_checkpoint) -> None:
    folder, config, _ = make_checkpoint()
    adept_hub.push_to_hub(folder, "org/large")
    assert hub.requests(r"PUT /lfs/\w+/3")
    assert files_of(hub, "org/large")[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    assert config.sha256 in hub.lfs


def test_nothing_changes_when_an_upload_breaks_off(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo("org/mine")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for pattern, status in (
        ("POST /api/models/org/mine/preupload", 403),
        ("POST /org/mine.git/info/lfs", 500),
        ("PUT /lfs/", 403),
        ("POST /api/models/org/mine/commit", 500),
    ):
        fault = hub.fault(pattern, status=status, times=1000)
        with pytest.raises(PublishError, match="org/mine was not changed") as caught:
            adept_hub.push_to_hub(run, "org/mine")
        assert len(str(caught.value).splitlines()) <= 3
        assert len(hub.repos["org/mine"].commits) == 1
        fault.times = 0
    adept_hub.push_to_hub(run, "org/mine")


def test_a_commit_of_someone_else_in_between_is_not_overwritten(hub: Hub, run: Path) -> None:
    hub.repo("org/mine")
    repo = hub.repos["org/mine"]

    def meanwhile(body: bytes) -> bytes:
        repo.add("main", files_of(hub, "org/mine") | {"README.md": b"written meanwhile"})
        return body

    hub.fault("POST .*preupload", change=meanwhile)
    with pytest.raises(PublishError, match="was not changed"):
        adept_hub.push_to_hub(run, "org/mine")
    assert files_of(hub, "org/mine")["README.md"] == b"written meanwhile"


def test_a_busy_hub_gets_it_in_the_end(hub: Hub, run: Path) -> None:
    hub.fault("PUT /lfs/", status=503, times=1)
    hub.fault("preupload", status=429, times=1)
    published = adept_hub.push_to_hub(run, "org/mine")
    assert hub.repos["org/mine"].refs["main"] == published.commit


@pytest.mark.parametrize(("pattern", "status"), [("preupload", 429), ("PUT /lfs/", 503)])
def test_a_hub_that_asks_for_an_hour_is_not_waited_for(hub: Hub, run: Path, pattern: str, status: int) -> None:
    hub.fault(pattern, status=status, headers={"Retry-After": "3600"})
    began = time.monotonic()
    if not hasattr(_http, "_parse_retry_after"):  # an older client looks at no Retry-After and tries again at once
        assert adept_hub.push_to_hub(run, "org/mine").commit
        assert time.monotonic() - began < 30
        return
    with pytest.raises(PublishError, match=rf"HTTP {status}; the Hub requests a wait of 3601 s .at most 60") as caught:
        adept_hub.push_to_hub(run, "org/mine")
    assert time.monotonic() - began < 30
    assert len(str(caught.value).splitlines()) <= 3
    assert adept_hub.push_to_hub(run, "org/mine").commit, "and again then"


@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_who_may_not_write(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PublishError, match=r"hf auth login"):
        adept_hub.push_to_hub(run, "org/mine", token=token)
    assert "org/mine" not in hub.repos
    hub.repo("org/theirs")
    with pytest.raises(PublishError, match=r"hf auth login"):
        adept_hub.push_to_hub(run, "org/theirs", token=token)
    assert len(hub.repos["org/theirs"].commits) == 1
    assert adept_hub.push_to_hub(run, "org/theirs", token=OWNER).commit, "the argument goes before the environment"


def test_a_hub_that_gives_no_error_codes(hub: Hub, run: Path) -> None:
    """Other implementations of the protocol answer 404 and no more."""
    hub.fault("GET /api/models/org/mine", status=404)
    hub.fault("resolve/.*README.md", status=404, times=2)
    published = adept_hub.push_to_hub(run, "org/mine", revision="main")
    assert hub.repos["org/mine"].refs["main"] == published.commit


def test_a_hub_without_private_repositories_gets_nothing(hub: Hub, run: Path) -> None:
    """An independent implementation of the protocol took ``private`` and made the repository public."""
    hub.fault("GET /api/models/org/mine", times=2, change=lambda b: b.replace(b'"private": true', b'"private": false'))
    with pytest.raises(PublishError, match="is public, but private was requested"):
        adept_hub.push_to_hub(run, "org/mine", private=True)
    assert not hub.requests("preupload|/lfs/")


def test_a_hub_without_pull_requests_is_told_of(hub: Hub, run: Path) -> None:
    """The same one took ``create_pr`` and committed to the branch; the client raised a KeyError."""
    hub.fault("/commit/", change=lambda body: body.replace(b"pullRequestUrl", b"other"))
    with pytest.raises(PublishError, match=r"opened no pull request.*\nCheck: http.*/org/mine/commits/main"):
        adept_hub.push_to_hub(run, "org/mine", create_pr=True)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_what_is_written_on_the_local_card_goes_before_the_published(hub: Hub, run: Path) -> None:
    hub.repo("org/mine", {"README.md": f"# T\n{BEGIN}\nwritten last year\n{END}\n".encode()})
    (run / "export" / "README.md").write_text(f"# T\n\n{BEGIN}\nwritten today\n{END}\n")
    adept_hub.push_to_hub(run, "org/mine")
    card = files_of(hub, "org/mine")["README.md"].decode()
    assert card.split(BEGIN)[1].split(END)[0].strip() == "written today"
