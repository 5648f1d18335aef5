"""Save a detector as a checkpoint folder, and push a checkpoint folder to the Hub as one commit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import chosen_parts
from adept_hub.cards.card import CARD, handwritten_part, write_card
from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.checkpoint.licenses import inherit
from adept_hub.checkpoint.validate_config import MAX_CARD_BYTES
from adept_hub.convert.export import import_state
from adept_hub.convert.infer import infer_spec
from adept_hub.convert.norms import NORMED_PARTS
from adept_hub.convert.strides import refuse_other_epsilon
from adept_hub.errors import AdeptError, CheckpointError, DownloadError, PublishError
from adept_hub.frameworks import TORCHVISION
from adept_hub.hub.endpoint import check_endpoint
from adept_hub.io.read import BoundedReader
from adept_hub.models.contract import part_of
from adept_hub.models.read import anchors_of, pooling_of, preprocessing_of
from adept_hub.models.wrapped import unwrapped, whole_tensors
from adept_hub.names import check_repo, check_revision
from adept_hub.publish.release import Release, collect_release
from adept_hub.spec import PARTS, CheckpointConfig, Provenance

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PathLike = str | os.PathLike[str]

#: Provenance of a model of unknown origin; `push_to_hub` refuses it.
_IMPORT = (
    "Train with an epsilon of 1e-5, or for torchvision's COCO weights import their file: adept import FILE --out DIR"
)
UNKNOWN = Provenance(method="scratch", data="", images=0, epochs=0.0, exported_network="none", labeled=None)


@dataclass(frozen=True)
class Published:
    """The uploaded files, or with an empty ``commit`` those of a dry run: paths in the repository and their sizes."""

    repo: str
    files: tuple[tuple[str, int], ...]
    url: str = ""
    commit: str = ""
    pull_request: str = ""
    #: Files in the folder that only a fine-tuned detector has: its predictors and class names.
    not_published: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The source that loads exactly these files, pinned to the commit."""
        return f"hf-hub:{self.repo}" + (f"@{self.commit}" if self.commit else "")


@checked
def save_pretrained(
    model: nn.Module,
    folder: PathLike,
    *,
    name: str,
    parts: str | Iterable[str] | None = None,
    provenance: Provenance | None = None,
    license: str | None = None,
    relicense: bool = False,
    half: bool = False,
    overwrite: bool = False,
) -> CheckpointConfig:
    """Write the four parts of a detector in memory as a checkpoint folder with its card.

    Args:
        model: a torchvision GeneralizedRCNN of the canonical architecture: from `adept_hub.load_pretrained`,
            `adept_hub.create_model`, or any other with the same tensors; also wrapped by torch.compile or DDP.
        folder: the output folder; it must not exist, or be empty, unless ``overwrite``.
        name: ``architecture.tag``.
        parts: the parts to save, as a string or an iterable; default: those of the checkpoint from which the model was
            loaded, else all four.
        provenance: the provenance of the weights; default: that of the checkpoint from which the model was loaded.
            Either way that checkpoint is recorded as the start, since the model may have been trained further; for
            the same reason the default is that the use of labels is unknown, unless that checkpoint used them.
        license: the license of the weights as a Hub identifier (``apache-2.0``); default: that checkpoint's.
        relicense: claim the right to grant a ``license`` that may be less restrictive than that checkpoint's.
        half: store weights as float16.
        overwrite: replace an existing folder.

    Returns:
        The config as written.

    Raises:
        UnknownKeyError, UnsupportedModelError: the model has another architecture.
        IncompleteLoadError, ShapeMismatchError: a part is incomplete.
        OutputExistsError, DiskFullError: the folder is not empty, or cannot be written.
        CheckpointError: a tensor has a value that is not finite.
        LicenseError: ``license`` may be less restrictive than that of the checkpoint from which the model was loaded.

    Example:
        >>> import adept_hub, tempfile
        >>> model = adept_hub.load_pretrained("adept_joint", num_classes=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = adept_hub.save_pretrained(model, f"{folder}/mine", name="adept_joint_r18_fpn128.mine")
        ...     again = adept_hub.load_pretrained(f"{folder}/mine")
        >>> config.provenance.starts[-1].name
        'adept_joint_r18_fpn128.caltech101'
    """
    model = unwrapped(model)
    origin = getattr(model, "checkpoint_config", None)
    origin = origin if isinstance(origin, CheckpointConfig) else None
    saved_parts = chosen_parts(parts if parts is not None else origin.parts if origin else PARTS)
    refuse_other_epsilon(model, _IMPORT)
    state = {key: t for key, t in whole_tensors(model).items() if "rpn" in saved_parts or not key.startswith("rpn.")}
    cascade = any(key.startswith("roi_heads.box_head.0.") and key.count(".") > 4 for key in state)
    # The model's anchors, not the checkpoint's: it may have been loaded with others and its RPN trained on those.
    anchors = anchors_of(model) if any(key.startswith("rpn.") for key in state) else None
    frozen = [part for part in NORMED_PARTS if origin and getattr(origin.spec, f"{part}_norm") == "frozen_bn"]
    tensors = import_state(state, TORCHVISION, "cascade_rcnn" if cascade else "faster_rcnn", anchors, frozen)
    tensors = {key: tensor for key, tensor in tensors.items() if part_of(key) in saved_parts}
    spec = infer_spec({key: tuple(t.shape) for key, t in tensors.items()}, anchors)
    if origin is not None:
        own = origin.spec.anchors
        spec = replace(origin.spec, anchors=own if anchors is None or anchors.is_same(own) else anchors)
    elif "head" in saved_parts:
        spec = replace(spec, pooling=pooling_of(model))
    if provenance is None:
        # The metrics belong to the original weights, and so do the statements that no labels were used and that this is
        # one of a method's two networks.
        labeled = origin is not None and origin.provenance.labeled
        before = origin.provenance if origin else UNKNOWN
        provenance = replace(before, metrics=(), labeled=labeled or None, exported_network="none")
    elif origin is not None and origin.provenance.labeled is not False:
        provenance = replace(provenance, labeled=provenance.labeled or origin.provenance.labeled)
    starts = origin.as_starts() if origin else provenance.starts
    granted, claimed = inherit(starts[-1] if starts else None, license or "unstated", relicense=relicense)
    return write_checkpoint(
        Path(folder),
        tensors,
        name=name,
        spec=spec,
        preprocessing=preprocessing_of(model),
        provenance=replace(provenance, starts=starts, relicensed=claimed),
        license=granted,
        parts=saved_parts,
        half=half,
        overwrite=overwrite,
        more=lambda here, config: write_card(here, config, source=str(folder), replaces=Path(folder)),
    )


@checked
def push_to_hub(
    folder: PathLike,
    repo: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    message: str = "",
    license: str | None = None,
    relicense: bool = False,
    dry_run: bool = False,
) -> Published:
    """Push a checkpoint folder, or the ``export/`` of a run, to the Hub as one commit.

    The commit has the weights, the config, the generated card with the hand-written part of the existing one,
    evaluation results in both of the Hub's formats, and a run's recipe, log (without texts, which may contain paths)
    and pictures. Of a fine-tuned detector the predictors and class names are not published. The repository is created
    if it does not exist.

    Args:
        folder: a checkpoint folder, or a run of ``adept pretrain``.
        repo: ``org/name``.
        private: create a private repository.
        create_pr: open a pull request with the commit.
        revision: the branch; created if it does not exist.
        token: default: HF_TOKEN or the stored login.
        message: the first line of the commit message.
        license: the license of what is published, as a Hub identifier (``apache-2.0``); the folder is not changed.
            By default that of the checkpoint.
        relicense: claim the right to grant a ``license`` that may be less restrictive than that of the start.
        dry_run: only list what would be uploaded, without any request.

    Raises:
        LicenseError: ``license`` is not an identifier, or may be less restrictive than that of the start.
        PublishError: the license or the provenance is missing, a text contains a path of this machine, HF_HUB_OFFLINE
            is set, or the repository rejected the commit.
        CheckpointError: the folder is not a checkpoint, or cannot be loaded.
        SourceError: ``repo`` or ``revision`` is not valid.
        DownloadError: the Hub could not be reached, or refused the request.
    """
    check_repo(repo)
    if revision is not None:
        check_revision(revision)
    check_endpoint(DownloadError)  # before the card is rendered with the client's classes
    flags = {"--private": private, "--create-pr": create_pr, "--dry-run": dry_run}
    values = {"--revision": revision, "--message": message}
    typed = [word for option, value in values.items() if value for word in (option, value)]
    typed += [option for option, given in flags.items() if given]
    release = collect_release(Path(folder), repo, license, relicense=relicense, options=typed)
    if dry_run:
        return Published(repo, release.listing(), not_published=release.remaining)
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise PublishError(
            f"{repo} was not changed: HF_HUB_OFFLINE is set, so no request is made.\nUnset it: unset HF_HUB_OFFLINE"
        )
    from adept_hub.hub.client_log import one_line_per_retry
    from adept_hub.hub.errors import TRANSPORT, explain

    refusals: tuple[type[Exception], ...] = (*TRANSPORT, RuntimeError, DownloadError)  # LFS raises RuntimeError
    try:
        with one_line_per_retry(repo):
            return _commit(HfApi(token=token), release, repo, private, create_pr, revision, message)
    except refusals as error:
        raise _as_publish_error(explain(error, repo), repo) from error


def _commit(
    api: HfApi, release: Release, repo: str, private: bool, create_pr: bool, revision: str | None, message: str
) -> Published:
    from huggingface_hub import CommitOperationAdd

    _prepare_repository(api, repo, private, revision, create_pr)
    parent = api.repo_info(repo, revision=revision).sha
    release = release.with_handwritten(_remote_handwritten(api, repo, parent))
    operations = [CommitOperationAdd(path, content) for path, content in release.files.items()]
    try:
        made = api.create_commit(
            repo,
            operations,
            commit_message=message or f"Publish {release.config.name}",
            commit_description=f"SHA-256 of the weights: {release.config.sha256}",
            create_pr=create_pr,
            revision=revision,
            parent_commit=None if create_pr else parent,
        )
    except KeyError as error:  # the client's, if the response to create_pr has no pull request
        raise PublishError(
            f"{api.endpoint} opened no pull request for {repo}: the commit may be on the branch itself.\n"
            f"Check: {api.endpoint}/{repo}/commits/{revision or 'main'}"
        ) from error
    return Published(repo, release.listing(), str(made.commit_url), made.oid, made.pr_url or "", release.remaining)


def _prepare_repository(api: HfApi, repo: str, private: bool, revision: str | None, create_pr: bool) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        public = not api.repo_info(repo).private
    except HfHubHTTPError as error:
        if error.response.status_code not in (401, 404):  # the Hub uses both for a repository that the user cannot see
            raise
        api.create_repo(repo, private=private, exist_ok=True)
        public = private and not api.repo_info(repo).private  # not every Hub has private repositories
    if private and public:
        raise PublishError(
            f"{repo} is public, but private was requested.\nPublish without --private, or choose another repository."
        )
    if revision not in (None, "main") and not create_pr:
        api.create_branch(repo, branch=revision, exist_ok=True)


def _remote_handwritten(api: HfApi, repo: str, commit: str | None) -> str:
    """Return the hand-written part of the published card; empty if there is none."""
    from adept_hub.hub.client import HubOptions, download_file

    with tempfile.TemporaryDirectory() as cache:
        try:
            card = download_file(repo, CARD, commit, HubOptions(cache, False, api.token), MAX_CARD_BYTES)
        except CheckpointError:  # the repository has no card
            return ""
        return handwritten_part(BoundedReader(PublishError, MAX_CARD_BYTES).read(card).decode(errors="replace"))


def _as_publish_error(error: AdeptError, repo: str) -> PublishError:
    first = str(error).splitlines()[0]
    return PublishError(
        f"{repo} was not changed: {first}\n"
        "Check the name, the network and your write access: hf auth login (or set HF_TOKEN)"
    )
