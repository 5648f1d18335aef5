"""What leaves a folder by a link is not published, and not named in a command that removes it."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

import adept_hub
from adept_hub.cards.card import write_card
from adept_hub.checkpoint.folder import CARD, CONFIG, WEIGHTS, read_config
from adept_hub.checkpoint.validate_config import MAX_CARD_BYTES
from adept_hub.errors import CheckpointError, IntegrityError, PublishError
from adept_hub.hub.fetch import FetchOptions, fetch
from adept_hub.io.digest import again, cached_blob, verify
from tests.hub.loopback import Hub

SECRET = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture
def run(tmp_path: Path, make_checkpoint) -> Path:
    """A run with a checkpoint in export/."""
    make_checkpoint(half=True, folder=tmp_path / "run" / "export")
    return tmp_path / "run"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519"
    path.write_text(f"{SECRET}\n")
    return path


FILES = [
    f"export/{CARD}",
    f"export/{CONFIG}",
    f"export/{WEIGHTS}",
    "export/metrics.json",
    "metrics.json",
    "evaluations/voc.json",
    "evaluations/voc/0.json",
    "recipe.yaml",
    "log.jsonl",
    "results/a.csv",
    "pictures/a.png",
]


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["absolute", "relative", "twice"])
def test_a_link_out_of_the_folder_is_not_published(
    hub: Hub, run: Path, secret: Path, name: str, kind: str, dry_run: bool
) -> None:
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():  # what a reader of the link would take for the true one
        shutil.copyfile(path, secret)
        path.unlink()
    if kind == "twice":
        (secret.parent / "between").symlink_to(secret)
    target = {
        "absolute": secret,
        "relative": Path(os.path.relpath(secret, path.parent)),
        "twice": secret.parent / "between",
    }[kind]
    path.symlink_to(target)
    with pytest.raises(PublishError, match="is a link out of") as caught:
        adept_hub.push_to_hub(run, "org/mine", dry_run=dry_run)
    assert str(secret) not in str(caught.value)
    assert hub.log == []


@pytest.mark.parametrize("target", ["/nowhere/at/all", CARD])
def test_a_card_that_leads_nowhere(hub: Hub, run: Path, target: str) -> None:
    (run / "export" / CARD).unlink(missing_ok=True)
    (run / "export" / CARD).symlink_to(target)
    with pytest.raises(PublishError):
        adept_hub.push_to_hub(run, "org/mine")
    assert hub.log == []


def test_a_folder_that_is_a_link(hub: Hub, run: Path, tmp_path: Path) -> None:
    """The folder that was named may be one; the checkpoint of a run may not lead out of it."""
    (tmp_path / "named").symlink_to(run)
    assert adept_hub.push_to_hub(tmp_path / "named", "org/mine", dry_run=True).files
    (run / "export").rename(tmp_path / "elsewhere")
    (run / "export").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublishError, match="is a link out of"):
        adept_hub.push_to_hub(run, "org/mine")
    assert hub.log == []


def test_a_link_within_the_run_is_published(run: Path) -> None:
    (run / "pictures").mkdir()
    (run / "look.png").write_bytes(b"picture")
    (run / "pictures" / "look.png").symlink_to("../look.png")
    published = dict(adept_hub.push_to_hub(run, "org/mine", dry_run=True).files)
    assert published["pictures/look.png"] == 7


@pytest.mark.parametrize("name", [f"export/{CARD}", "metrics.json", "export/evaluations/a.json"])
def test_a_pipe_is_not_waited_for(hub: Hub, run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(PublishError, match="is a named pipe, not a regular file"):
        adept_hub.push_to_hub(run, "org/mine")
    assert hub.log == []


def test_a_card_of_a_gigabyte_is_not_read(hub: Hub, run: Path) -> None:
    with (run / "export" / CARD).open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(PublishError, match=f"at most {MAX_CARD_BYTES:,} are read"):
        adept_hub.push_to_hub(run, "org/mine")
    with pytest.raises(CheckpointError, match="at most"):
        write_card(run / "export", read_config(run / "export"))


def test_a_card_that_is_a_link_out_is_not_written_over_with_what_it_leads_to(run: Path, secret: Path) -> None:
    card = run / "export" / CARD
    card.unlink(missing_ok=True)
    card.symlink_to(secret)
    with pytest.raises(CheckpointError, match="links to a file outside"):
        write_card(run / "export", read_config(run / "export"))
    assert secret.read_text().startswith(SECRET)


def test_a_card_in_the_cache_of_the_hub_is_a_link_that_is_followed(hub: Hub, published, tmp_path: Path) -> None:
    fetched = fetch("hf-hub:org/small", FetchOptions(cache_dir=tmp_path / "cache"))
    assert (fetched.folder / CARD).is_symlink()
    assert "# by hand" in write_card(fetched.folder, fetched.config).read_text()


# --- advice --------------------------------------------------------------------------------------------------------


def test_the_advice_never_names_what_a_link_leads_to(tmp_path: Path, secret: Path) -> None:
    link = tmp_path / WEIGHTS
    link.symlink_to(secret)
    with pytest.raises(IntegrityError) as caught:
        verify(link, "0" * 64, 5)
    told = str(caught.value)
    assert str(secret) not in told
    assert "rm " not in told
    assert str(link) in told


@pytest.mark.parametrize("blob", ["../../../../id_ed25519", f"../../blobs/{'0' * 64}/../../../id", "../../blobs/short"])
def test_a_link_that_only_looks_like_the_caches(tmp_path: Path, secret: Path, blob: str) -> None:
    folder = tmp_path / "models--org--small" / "snapshots" / ("0" * 40)
    (tmp_path / "models--org--small" / "blobs").mkdir(parents=True)
    folder.mkdir(parents=True)
    (folder / WEIGHTS).symlink_to(blob)
    assert cached_blob(folder / WEIGHTS) is None
    assert "rm " not in again(folder / WEIGHTS)


def test_the_command_is_one_command(hub: Hub, published, tmp_path: Path) -> None:
    """A quote, a space and a semicolon in a path do not end it; the file that it removes is the right one."""
    cache = tmp_path / "it's; touch owned #"
    fetched = fetch("hf-hub:org/small", FetchOptions(cache_dir=cache))
    blob = (fetched.folder / WEIGHTS).resolve()
    blob.write_bytes(blob.read_bytes()[:-1])
    with pytest.raises(IntegrityError) as caught:
        verify(fetched.folder / WEIGHTS, fetched.config.sha256, fetched.config.size)
    command = str(caught.value).splitlines()[1].partition(": ")[2]
    assert shlex.split(command) == ["rm", str(blob)]
    os.system(command)
    assert not blob.exists()
    assert not list(tmp_path.rglob("owned"))
    fetch("hf-hub:org/small", FetchOptions(cache_dir=cache))
    assert blob.exists()


def test_a_copy_in_the_cache_is_the_file_to_remove(tmp_path: Path) -> None:
    """Where links do not work, the cache holds copies."""
    folder = tmp_path / "models--org--small" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"copy")
    assert again(folder / WEIGHTS).endswith(f"rm {folder / WEIGHTS}")
