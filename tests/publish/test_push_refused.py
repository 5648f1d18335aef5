"""What is not published, and why."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import adept_hub
from adept_hub.checkpoint.folder import WEIGHTS, parse_config, read_config, write_config
from adept_hub.cli.main import main
from adept_hub.errors import (
    CheckpointError,
    IntegrityError,
    LicenseError,
    PublishError,
    SourceError,
)
from adept_hub.io import digest
from adept_hub.publish.release import collect_release
from adept_hub.spec import Start
from tests.hub.headers import data_bytes, read_header
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER


def spoil(run: Path, **changes: object) -> None:
    config = read_config(run / "export")
    own = {key: changes.pop(key) for key in ("license",) if key in changes}
    write_config(run / "export", replace(config, **own, provenance=replace(config.provenance, **changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"license": ""}, "has no license"),
        ({"license": "unstated"}, "has no license"),
        ({"method": "scratch"}, "does not specify the method"),
        ({"method": "magic"}, "does not specify the method"),
        # With a license it would be refused all the same.
        ({"license": "unstated", "data": ""}, "does not specify the training data"),
        ({"data": " "}, "the training data"),
        ({"images": 0}, "the number of training images"),
    ],
)
def test_no_license_or_provenance_no_publication(hub: Hub, run: Path, changes: dict[str, object], message: str) -> None:
    spoil(run, **changes)
    for dry_run in (True, False):
        with pytest.raises(PublishError, match=message) as caught:
            adept_hub.push_to_hub(run, "org/mine", dry_run=dry_run)
        assert len(str(caught.value).splitlines()) <= 3
    assert hub.log == []


def test_what_does_not_load_is_not_published(hub: Hub, run: Path) -> None:
    weights = run / "export" / WEIGHTS
    content = weights.read_bytes()
    for damaged, error in (
        (content[:-1], IntegrityError),
        (content[:-1] + bytes([content[-1] ^ 1]), IntegrityError),
        (None, CheckpointError),
    ):
        weights.unlink()
        if damaged is not None:
            weights.write_bytes(damaged)
        with pytest.raises(error):
            adept_hub.push_to_hub(run, "org/mine")
    for folder in (run / "checkpoints", run / "nothing"):
        with pytest.raises(CheckpointError, match="is not a checkpoint folder"):
            adept_hub.push_to_hub(folder, "org/mine")
    assert hub.log == []


def test_bits_that_rotted_without_a_trace_are_found_before_publication(hub: Hub, run: Path) -> None:
    weights = run / "export" / WEIGHTS
    adept_hub.load_state_dict(run / "export")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for stamp in (digest.cache_dir() / "verified").iterdir():
        stamp.write_text(digest._identity(weights))  # the memory of the verification says that nothing changed
    with pytest.raises(IntegrityError):
        adept_hub.push_to_hub(run, "org/mine")
    assert hub.log == []


def test_values_that_are_not_finite_are_not_published(hub: Hub, run: Path) -> None:
    weights = run / "export" / WEIGHTS
    header = read_header(weights)
    content = bytearray(weights.read_bytes())
    first = len(content) - data_bytes(header) + header["backbone.conv1.weight"]["data_offsets"][0]
    content[first : first + 2] = b"\x00\x7e"  # NaN as float16, little-endian
    weights.write_bytes(content)
    write_config(run / "export", replace(read_config(run / "export"), sha256=digest.sha256_file(weights)))
    with pytest.raises(CheckpointError, match="NaN"):
        adept_hub.push_to_hub(run, "org/mine")
    assert hub.log == []


@pytest.mark.parametrize("repo", ["mine", "org/mine/more", "../mine", "org/..", "org/mine@main", ""])
def test_names_that_are_no_repository(hub: Hub, run: Path, repo: str) -> None:
    with pytest.raises(SourceError):
        adept_hub.push_to_hub(run, repo)
    with pytest.raises(SourceError):
        adept_hub.push_to_hub(run, "org/mine", revision="../main")
    assert hub.log == []


def test_a_link_out_of_the_run_is_not_followed(hub: Hub, run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("secret")
    (run / "pictures" / "innocent.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(PublishError, match="is a link out of"):
        adept_hub.push_to_hub(run, "org/mine")
    assert hub.log == []


@pytest.mark.parametrize(
    ("own", "of_the_start", "relicensed", "message"),
    [
        ("cc-by-nc-4.0", "cc-by-nc-4.0", False, None),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", False, None),
        (
            "apache-2.0",
            "cc-by-nc-4.0",
            False,
            "from a_b.start, under cc-by-nc-4.0; its own license, apache-2.0,",
        ),
        ("apache-2.0", "cc-by-nc-4.0", True, None),
        ("mit", "unstated", False, "under a license that is not stated"),
    ],
)
def test_the_license_of_the_direct_start_decides(
    run: Path, own: str, of_the_start: str, relicensed: bool, message: str | None
) -> None:
    """Of two starts the last one, whose license already follows from the first."""
    starts = (Start("a_b.first", "ab" * 32, "gpl-3.0"), Start("a_b.start", "cd" * 32, of_the_start))
    spoil(run, license=own, starts=starts, relicensed=relicensed)
    if message is None:
        assert adept_hub.push_to_hub(run, "org/mine", dry_run=True).files
        return
    with pytest.raises(PublishError, match=message):
        adept_hub.push_to_hub(run, "org/mine", dry_run=True)


def test_a_license_is_stated_while_publishing(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the copy that goes up: its config, its card and its front matter; the folder stays as it is."""
    monkeypatch.setenv("HF_TOKEN", OWNER)
    spoil(run, license="unstated")
    before = (run / "export" / "config.json").read_bytes()
    published = adept_hub.push_to_hub(run, "org/mine", license="cc-by-4.0")
    assert (run / "export" / "config.json").read_bytes() == before
    files = hub.repos["org/mine"].commits[published.commit].files
    assert parse_config(files["config.json"], "config.json").license == "cc-by-4.0"
    assert "license: cc-by-4.0" in files["README.md"].decode()
    for license, error, message in (
        ("all mine!", LicenseError, "is not a license identifier"),
        ("none", PublishError, "has no license"),
    ):
        with pytest.raises(error, match=message):
            adept_hub.push_to_hub(run, "org/mine", license=license, dry_run=True)


def test_a_license_while_publishing_is_compared_with_that_of_the_start(run: Path) -> None:
    spoil(run, license="unstated", starts=(Start("a_b.start", "cd" * 32, "cc-by-nc-4.0"),))
    with pytest.raises(LicenseError, match=r"not known to be at least as restrictive.\n.*--license mit --relicense"):
        adept_hub.push_to_hub(run, "org/mine", license="mit", dry_run=True)
    config = collect_release(run, "org/mine", "mit", relicense=True).config
    assert (config.license, config.provenance.relicensed) == ("mit", True)
    config = collect_release(run, "org/mine", "cc-by-nc-sa-4.0").config
    assert (config.license, config.provenance.relicensed) == ("cc-by-nc-sa-4.0", False)
    spoil(run, license="apache-2.0")
    with pytest.raises(PublishError, match=rf"adept push {run} org/mine --license apache-2.0 --relicense"):
        adept_hub.push_to_hub(run, "org/mine", dry_run=True)
    assert collect_release(run, "org/mine", relicense=True).config.provenance.relicensed


@pytest.mark.parametrize(
    ("license_of_start", "words"),
    [
        (None, "State one: adept push {run} org/mine --license apache-2.0"),
        ("cc-by-nc-4.0", "State one: adept push {run} org/mine --license cc-by-nc-4.0"),
        (
            "unknown",
            "State one, if you have the right to grant it: adept push {run} org/mine --license apache-2.0 --relicense",
        ),
    ],
)
def test_the_command_that_states_a_license_works_and_keeps_the_other_options(
    hub: Hub, run: Path, license_of_start: str | None, words: str
) -> None:
    starts = () if license_of_start is None else (Start("a_b.start", "cd" * 32, license_of_start),)
    spoil(run, license="unstated", starts=starts)
    with pytest.raises(PublishError) as caught:
        adept_hub.push_to_hub(run, "org/mine", private=True, message="the first", dry_run=True)
    suggested = str(caught.value).splitlines()[-1]
    assert suggested == words.format(run=run) + " --message 'the first' --private --dry-run"
    assert main(shlex.split(suggested.partition(": adept ")[2])) == 0
    assert hub.log == []


def test_the_command_for_a_fine_tuned_run_keeps_the_options(hub: Hub, run: Path) -> None:
    (run / "export").rename(run / "best")
    with pytest.raises(CheckpointError) as caught:
        adept_hub.push_to_hub(run, "org/mine", license="mit", relicense=True, private=True, revision="v2")
    command = f"adept push {run / 'best'} org/mine --license mit --relicense --revision v2 --private"
    assert str(caught.value).endswith(command)
    assert hub.log == []
