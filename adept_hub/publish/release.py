"""Collect the files to publish with a checkpoint, and check that it can be published."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adept_hub.cards.card import CARD, PICTURES, handwritten_part, render_card
from adept_hub.cards.card_data import eval_results
from adept_hub.cards.measurements import check_inside, folders_of, with_measurements
from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, config_text, read_config, read_tensors
from adept_hub.checkpoint.licenses import as_restrictive, inherit, is_stated
from adept_hub.checkpoint.validate_config import MAX_CARD_BYTES
from adept_hub.detectors.files import DETECTOR, PREDICTORS
from adept_hub.errors import CheckpointError, PublishError
from adept_hub.io.digest import verify
from adept_hub.io.paths import exists, is_file
from adept_hub.io.read import BoundedReader
from adept_hub.names import is_name
from adept_hub.publish.privacy import LOG, check_private, named_paths, public_log
from adept_hub.registry import is_model, is_model_pretrained
from adept_hub.spec import METHODS, CheckpointConfig
from adept_hub.words.command_line import command_line

#: Files next to the checkpoint, or in its run: recipe, training log, measurements, pictures.
EXTRAS = ("recipe.yaml", LOG, "results/*.csv", "results/*.json", *PICTURES)
MAX_EXTRA_BYTES = 64 << 20


@dataclass(frozen=True)
class Push:
    """The folder, the repository and the other options of ``adept push``, as typed."""

    folder: Path
    repo: str
    #: Without the license.
    options: tuple[str, ...] = ()

    def command(self, folder: Path, *words: str) -> str:
        """Return the command that pushes a folder with these options and further words."""
        typed: tuple[object, ...] = ("push", folder, self.repo, *words, *self.options)
        return command_line(*typed)


@dataclass(frozen=True)
class Release:
    """The files of one commit: path in the repository -> a file, or its content."""

    config: CheckpointConfig
    source: str
    handwritten: str
    files: dict[str, Path | bytes]
    #: Files of a fine-tuned detector next to the four parts, which are not published.
    remaining: tuple[str, ...] = ()

    def with_handwritten(self, remote: str) -> Release:
        """Return a release with the published card's hand-written part, unless the local card has one."""
        text = self.handwritten or remote
        card = render_card(self.config, source=self.source, handwritten=text, pictures=self._pictures())
        return replace(self, handwritten=text, files=self.files | {CARD: card.encode()})

    def listing(self) -> tuple[tuple[str, int], ...]:
        """List paths and sizes in bytes, in order."""
        sizes = {path: len(c) if isinstance(c, bytes) else c.stat().st_size for path, c in self.files.items()}
        return tuple(sorted(sizes.items()))

    def _pictures(self) -> list[str]:
        return sorted(path for path in self.files if path.startswith("pictures/"))


def collect_release(
    folder: Path, repo: str, license: str | None = None, *, relicense: bool = False, options: Sequence[str] = ()
) -> Release:
    """Collect all files to publish of a checkpoint folder, or of a run with one in ``export/``.

    Args:
        folder: the checkpoint folder or the run, which is not changed.
        repo: ``org/name``.
        license: the license of the published copy; None: that of the checkpoint.
        relicense: claim the right to grant a ``license`` that may be less restrictive than that of the start.
        options: the other options of ``adept push``, such as ``--private``, which the commands in messages repeat.

    Raises:
        LicenseError: ``license`` is not an identifier, or may be less restrictive than that of the start.
        CheckpointError: the folder is not a checkpoint, or cannot be loaded.
        PublishError: the checkpoint cannot be published as it is, metrics next to it are invalid or belong to another
            checkpoint, or a text contains a path of this machine.
    """
    push = Push(folder, repo, tuple(options))
    licensing = [*(["--license", license] if license else []), *(["--relicense"] if relicense else [])]
    checkpoint = _checkpoint_of(push, licensing)
    config = with_measurements(check_publishable(checkpoint, license, relicense=relicense, push=push), checkpoint)
    files: dict[str, Path | bytes] = {WEIGHTS: checkpoint / WEIGHTS, CONFIG: checkpoint / CONFIG}
    if config != read_config(checkpoint):
        files[CONFIG] = config_text(config).encode()
    for root in folders_of(checkpoint):
        files |= _extras(root)
    files |= {path: text.encode() for path, text in eval_results(config).items()}
    card, text = checkpoint / CARD, ""
    if os.path.lexists(card):
        check_inside(card, checkpoint)
        content = BoundedReader(PublishError, MAX_CARD_BYTES, remedy="Make it shorter, or remove it.").read(card)
        text = handwritten_part(content.decode(errors="replace"))
    remaining = tuple(name for name in (PREDICTORS, DETECTOR) if (checkpoint / name).is_file())
    release = Release(config, f"hf-hub:{repo}", text, files, remaining).with_handwritten("")
    roots = folders_of(checkpoint)
    recorded = {path for root in roots for path in named_paths(root, MAX_EXTRA_BYTES)}
    check_private(release.files, {*roots, *recorded}, MAX_EXTRA_BYTES)
    return release


def _checkpoint_of(push: Push, licensing: Sequence[str]) -> Path:
    """Return the checkpoint folder, or that of a pre-training run; any other folder unchanged.

    Raises:
        CheckpointError: the folder is a run of ``adept finetune``, or the name of a registered checkpoint.
        PublishError: the run's checkpoint folder is a link out of the run.
    """
    folder = push.folder
    if is_file(folder / CONFIG):
        return folder
    if is_file(folder / "export" / CONFIG):
        check_inside(folder / "export", folder)
        return folder / "export"
    for tuned in (folder / "best", folder / "last"):
        if is_file(tuned / CONFIG):
            raise CheckpointError(
                f"{folder} is a run of adept finetune, and is not a checkpoint folder itself.\n"
                f"Publish the weights in it: {push.command(tuned, *licensing)}"
            )
    name = str(folder)
    if not exists(folder) and is_name(name) and is_model(name):
        pull = f"To get its folder: {command_line('pull', name)}\n" if is_model_pretrained(name) else ""
        raise CheckpointError(
            f"{name} is not a checkpoint folder but a registered name, and only a folder can be published.\n"
            f"{pull}All names: adept list"
        )
    return folder


def _licensed(config: CheckpointConfig, license: str | None, relicense: bool) -> CheckpointConfig:
    """Return the config with the requested license, or with the claim of the right to grant its own."""
    if license is None and not relicense:
        return config
    start = config.provenance.starts[-1] if config.provenance.starts else None
    granted, claimed = inherit(start, config.license if license is None else license, relicense=relicense)
    return replace(config, license=granted, provenance=replace(config.provenance, relicensed=claimed))


def check_publishable(
    checkpoint: Path, license: str | None = None, *, relicense: bool = False, push: Push | None = None
) -> CheckpointConfig:
    """Return the config of a checkpoint that can be published: it loads, and has a license and provenance.

    Args:
        checkpoint: the folder, which is not changed.
        license: the license of the published copy; None: that of the checkpoint.
        relicense: claim the right to grant a ``license`` that may be less restrictive than that of the start.
        push: what was typed for ``adept push``, for messages.

    Raises:
        LicenseError: ``license`` is not an identifier, or may be less restrictive than that of the start.
        CheckpointError: the checkpoint cannot be loaded: a file is missing, damaged, or does not match the config.
        PublishError: the license or the provenance is missing, the license may be less restrictive than that of the
            checkpoint from which training started, or a file is a link out of the folder.
    """
    for name in (CONFIG, WEIGHTS):
        check_inside(checkpoint / name, checkpoint)
    config = _licensed(read_config(checkpoint), license, relicense)
    provenance, push = config.provenance, push or Push(checkpoint, "ORG/NAME")
    # Provenance first: without it no license makes the checkpoint publishable.
    lacking = [
        what
        for what, missing in (
            ("the method", provenance.method not in METHODS or provenance.method == "scratch"),
            ("the training data", not is_stated(provenance.data)),
            ("the number of training images", provenance.images <= 0),
        )
        if missing
    ]
    if lacking:
        raise PublishError(
            f"{checkpoint} does not specify {' and '.join(lacking)}; weights without provenance are not published.\n"
            "save_pretrained(model, folder, name=..., provenance=adept_hub.spec.Provenance(...))"
        )
    start = provenance.starts[-1] if provenance.starts else None
    if not is_stated(config.license):
        known = start is None or is_stated(start.license)
        words = ("--license", start.license if start and known else "apache-2.0", *(() if known else ("--relicense",)))
        raise PublishError(
            f"{checkpoint} has no license, so nobody could use it.\n"
            f"State one{'' if known else ', if you have the right to grant it'}: {push.command(push.folder, *words)}"
        )
    if start and not provenance.relicensed and not as_restrictive(config.license, start.license):
        was = f"under {start.license}" if is_stated(start.license) else "under a license that is not stated"
        raise PublishError(
            f"{checkpoint} started from {start.name}, {was}; its own license, {config.license}, is not known to be at "
            "least as restrictive.\nIf you have the right to grant it: "
            f"{push.command(push.folder, '--license', config.license, '--relicense')}"
        )
    if not (checkpoint / WEIGHTS).is_file():
        raise CheckpointError(f"{checkpoint} has no {WEIGHTS}.\nExport it again.")
    verify(checkpoint / WEIGHTS, config.sha256, config.size, force=True)
    read_tensors(checkpoint, config)  # checks that they are complete and finite
    return config


def _extras(root: Path) -> dict[str, Path | bytes]:
    """Find the extra files below ``root``; refuse links out of it and files that are too large."""
    found: dict[str, Path | bytes] = {}
    for path in sorted(p for pattern in EXTRAS for p in root.glob(pattern)):
        check_inside(path, root)
        if path.is_file():
            if path.stat().st_size > MAX_EXTRA_BYTES:
                raise PublishError(f"{path} has more than {MAX_EXTRA_BYTES >> 20} MB.\nRemove it or make it smaller.")
            found[path.relative_to(root).as_posix()] = public_log(path, MAX_EXTRA_BYTES) if path.name == LOG else path
    return found
