"""Fetching from the Hub: the real client against the loopback server, in fair weather and in foul."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

import adept_hub
from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, read_tensors
from adept_hub.errors import CheckpointError, DownloadError, IntegrityError
from adept_hub.hub.fetch import FetchOptions, fetch
from tests.hub.fetching import blob, cache_of, fails, fetch_and_read, flip
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER
from tests.hub.processes import Fetching

# --- fair weather --------------------------------------------------------------------------------------------------


def test_a_checkpoint_arrives_by_branch_and_by_commit(published, options: FetchOptions) -> None:
    commit, config, folder = published
    for source in ("hf-hub:org/small", "hf-hub:org/small@main", f"hf-hub:org/small@{commit}"):
        fetched = fetch(source, options)
        assert fetched.config == config
        assert fetched.origin == f"hf-hub:org/small@{commit[:12]}"
        assert sorted(path.name for path in fetched.folder.iterdir()) == ["README.md", CONFIG, WEIGHTS]
        assert (fetched.folder / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_a_pinned_commit_that_is_cached_makes_no_request(hub: Hub, published, options: FetchOptions) -> None:
    commit, _, _ = published
    fetch("hf-hub:org/small", options)
    hub.log.clear()
    fetch(f"hf-hub:org/small@{commit}", options)
    fetch("hf-hub:org/small", FetchOptions(revision=commit, cache_dir=options.cache_dir))
    assert hub.log == []


def test_a_branch_follows_its_newest_commit(hub: Hub, published, options: FetchOptions) -> None:
    commit, config, _ = published
    fetch("hf-hub:org/small", options)
    repo = hub.repos["org/small"]
    text = json.loads(repo.commits[commit].files[CONFIG])
    text["license"] = "mit"
    repo.add("main", repo.commits[commit].files | {CONFIG: json.dumps(text).encode()})
    hub.log.clear()
    assert fetch("hf-hub:org/small", options).config.license == "mit"
    assert not hub.requests("GET /cdn/"), "unchanged weights were downloaded again"
    assert fetch(f"hf-hub:org/small@{commit}", options).config.license == config.license


def test_a_branch_that_moves_during_a_download_gives_the_files_of_one_commit(
    hub: Hub, published, make_checkpoint, options: FetchOptions
) -> None:
    commit, config, _ = published
    repo, files = hub.repos["org/small"], hub.repos["org/small"].commits[commit].files
    other, _, _ = make_checkpoint(half=False)

    def moved(body: bytes) -> bytes:
        repo.add("main", files | {name: (other / name).read_bytes() for name in (CONFIG, WEIGHTS)})
        return body

    hub.fault(f"GET .*{CONFIG}", change=moved)
    fetched = fetch("hf-hub:org/small", options)
    assert repo.refs["main"] != commit
    assert fetched.config == config
    assert (fetched.folder.name, fetched.origin) == (commit, f"hf-hub:org/small@{commit[:12]}")
    assert (fetched.folder / WEIGHTS).read_bytes() == files[WEIGHTS]


def test_a_branch_that_is_gone_is_not_served_from_the_cache(hub: Hub, published, options: FetchOptions) -> None:
    commit, _, _ = published
    repo = hub.repos["org/small"]
    repo.refs["v2"] = commit
    fetch("hf-hub:org/small@v2", options)
    del repo.refs["v2"]
    assert "no such revision" in fails(DownloadError, "hf-hub:org/small@v2", options)
    assert fetch(f"hf-hub:org/small@{commit}", options).folder.name == commit


def test_offline_uses_the_cache_and_makes_no_request(hub: Hub, published, options: FetchOptions) -> None:
    offline = FetchOptions(cache_dir=options.cache_dir, offline=True)
    assert "adept pull hf-hub:org/small" in fails(DownloadError, "hf-hub:org/small", offline)
    fetch("hf-hub:org/small", options)
    hub.log.clear()
    fetch("hf-hub:org/small", offline)
    assert hub.log == []


def test_a_registered_name_is_pinned_and_held_against_the_registry(
    hub: Hub, published, options: FetchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, config, _ = published
    entry = {
        "location": {"repo": "org/small", "revision": commit},
        "sha256": config.sha256,
        "size": config.size,
    }
    data = {
        "format_version": 2,
        "architectures": {"small_r18_fpn32": {"method": "adept_joint", "spec": {"depth": 18}}},
        "checkpoints": {"small_r18_fpn32.good": entry, "small_r18_fpn32.bad": entry | {"sha256": "0" * 64}},
    }
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(data))
    monkeypatch.setenv("ADEPT_REGISTRY", str(path))
    assert "has the digest of other weights" in fails(IntegrityError, "small_r18_fpn32.bad", options)
    assert not hub.requests("/cdn/"), "weights were downloaded although the config had been found wrong"
    fetch("small_r18_fpn32.good", options)
    hub.log.clear()
    model = adept_hub.load_pretrained("small_r18_fpn32.good", num_classes=3, cache_dir=options.cache_dir)
    assert hub.log == []
    assert model.load_report.loaded == 200


def test_private_and_gated_repositories(hub: Hub, published, options: FetchOptions, monkeypatch) -> None:
    hub.repos["org/small"].private = True
    for token in (False, "hf_stranger"):
        refused = FetchOptions(cache_dir=options.cache_dir, token=token)
        assert "hf auth login" in fails(DownloadError, "hf-hub:org/small", refused)
    hub.repos["org/small"].private, hub.repos["org/small"].gated = False, True
    assert f"grants access on {hub.endpoint}/org/small" in fails(DownloadError, "hf-hub:org/small", options)
    fetch("hf-hub:org/small", FetchOptions(cache_dir=options.cache_dir, token=OWNER))


def test_the_token_of_the_environment_is_sent_to_the_hub_and_not_to_its_storage(
    hub: Hub, published, options: FetchOptions, monkeypatch
) -> None:
    hub.repos["org/small"].private = True
    monkeypatch.setenv("HF_TOKEN", OWNER)
    fetch("hf-hub:org/small", options)
    assert hub.seen
    for line, headers in hub.seen:
        sent = {key.lower() for key in headers}
        assert ("authorization" in sent) == ("/resolve/" in line), line


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf-hub:org/nothing", "not on the Hub"),
        ("hf-hub:org/small@no-such-branch", "no such revision"),
        (f"hf-hub:org/small@{'0' * 40}", "no such revision"),
    ],
)
def test_what_is_not_there(published, options: FetchOptions, source: str, message: str) -> None:
    assert message in fails(DownloadError, source, options)


def test_a_repository_that_is_no_checkpoint(hub: Hub, published, options: FetchOptions) -> None:
    commit, _, _ = published
    files = hub.repos["org/small"].commits[commit].files
    hub.repo("org/bert", {"pytorch_model.bin": b"\x80\x02", "README.md": b"x"})
    assert "has no config.json" in fails(CheckpointError, "hf-hub:org/bert", options)
    hub.repo("org/half", {CONFIG: files[CONFIG]})
    assert f"has no {WEIGHTS}" in fails(CheckpointError, "hf-hub:org/half", options)
    hub.repo("org/foreign", {CONFIG: b'{"architectures": ["BertModel"], "auto_map": {"AutoModel": "evil.Model"}}'})
    assert "unknown field" in fails(CheckpointError, "hf-hub:org/foreign", options)
    assert not hub.requests("evil|pytorch_model"), "a file outside the three was asked for"


# --- foul weather --------------------------------------------------------------------------------------------------


def test_force_replaces_a_corrupt_file_in_the_cache(hub: Hub, published, options: FetchOptions) -> None:
    fetch("hf-hub:org/small", options)
    bad = blob(cache_of(options))
    bad.write_bytes(flip(bad.read_bytes()))
    assert f"rm {bad}" in fails(IntegrityError, "hf-hub:org/small", options)
    forced = FetchOptions(cache_dir=options.cache_dir, force=True)
    assert len(fetch_and_read("hf-hub:org/small", forced)) == 200
    bad.write_bytes(flip(bad.read_bytes()))
    bad.unlink()  # as the message says
    assert len(fetch_and_read("hf-hub:org/small", options)) == 200


def test_a_changed_blob_in_the_cache_is_noticed(published, options: FetchOptions) -> None:
    commit, _, _ = published
    fetched = fetch(f"hf-hub:org/small@{commit}", options)
    read_tensors(fetched.folder, fetched.config)
    target = blob(cache_of(options))
    stat = target.stat()
    target.write_bytes(flip(target.read_bytes()))
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fails(IntegrityError, f"hf-hub:org/small@{commit}", options)


def test_weights_swapped_on_the_hub_are_refused_before_they_are_downloaded(
    hub: Hub, published, options: FetchOptions
) -> None:
    commit, _, _ = published
    repo = hub.repos["org/small"]
    files = repo.commits[commit].files
    repo.add("same-length", files | {WEIGHTS: flip(files[WEIGHTS])})
    repo.add("shorter", files | {WEIGHTS: files[WEIGHTS][:-4]})
    for branch in ("same-length", "shorter"):
        assert "does not match the digest" in fails(IntegrityError, f"hf-hub:org/small@{branch}", options)
    assert not hub.requests("GET /cdn/")


def test_files_beyond_all_bounds_are_refused_before_they_are_downloaded(
    hub: Hub, published, options: FetchOptions
) -> None:
    commit, _, _ = published
    files = hub.repos["org/small"].commits[commit].files
    hub.repo("org/huge", files | {CONFIG: b" " * (5 << 20)})
    assert "at most" in fails(IntegrityError, "hf-hub:org/huge", options)
    assert not hub.requests("GET /")


# --- several processes ---------------------------------------------------------------------------------------------


def test_a_mirror_and_a_proxy_are_honored(hub: Hub, published, options: FetchOptions) -> None:
    """HF_ENDPOINT names a host that does not exist; the proxy of the environment is the loopback server."""
    proxy = {"HTTP_PROXY": hub.endpoint, "http_proxy": hub.endpoint, "NO_PROXY": None, "no_proxy": None}
    fetching = Fetching("hf-hub:org/small", cache_of(options), HF_ENDPOINT="http://mirror.invalid", **proxy)
    assert fetching.outcome() == "200"
    hosts = {headers.get("Host", headers.get("host")) for line, headers in hub.seen if "/resolve/" in line}
    assert hosts == {"mirror.invalid"}


def test_the_offline_variable_and_the_home_of_the_client_are_honored(hub: Hub, published, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    assert Fetching("hf-hub:org/small", HF_HOME=home).outcome() == "200"
    assert (tmp_path / "home" / "hub" / "models--org--small").is_dir()
    hub.log.clear()
    assert Fetching("hf-hub:org/small", HF_HOME=home, HF_HUB_OFFLINE="1").outcome() == "200"
    assert Fetching("hf-hub:org/more", HF_HOME=home, HF_HUB_OFFLINE="1").outcome().startswith("DownloadError")
    assert hub.log == []


def test_half_and_whole_precision_arrive_as_float32(published, options: FetchOptions) -> None:
    fetched = fetch("hf-hub:org/small", options)
    assert {t.dtype for t in read_tensors(fetched.folder, fetched.config).values()} == {torch.float32, torch.int64}
