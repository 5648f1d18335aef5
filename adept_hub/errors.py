"""User errors, one class per kind of mistake.

A message states what happened, why, and what to type next, in one to three lines. The command line prints it without a
traceback and exits with status 1; in Python, ``except AdeptError`` catches all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from adept_hub.words.sanitize import clean
from adept_hub.words.spelling import did_you_mean


class AdeptError(Exception):
    """Base of every error that adept_hub and adept_training raise on purpose; its text is safe to print."""

    def __str__(self) -> str:
        return clean(super().__str__())


# --- options of a call -------------------------------------------------------------------------------------------


class UnknownOptionError(AdeptError, TypeError):
    """A keyword that a call does not accept; the message suggests the closest one that it does.

    Fix: use the option that the message names; every call lists its options in the Python reference.
    """


class OptionTypeError(AdeptError, TypeError):
    """A value of the wrong type, or arguments that do not match the signature.

    Fix: pass the type that the message names.
    """


class OptionValueError(AdeptError, ValueError):
    """A value that is not one of an option's choices.

    Fix: choose one of the values in the message.
    """


# --- names and sources -------------------------------------------------------------------------------------------


class UnknownModelError(AdeptError):
    """A name that is not in the registry.

    Fix: ``adept list --all`` prints every name.
    """

    def __init__(self, name: str, known: Iterable[str], why: str = "", remedy: str = "") -> None:
        hint = did_you_mean(name, known, cutoff=0.4)
        super().__init__(f"Unknown model {name!r}{why}.{hint}\n{remedy or 'Every name: adept list --all'}")


class SourceError(AdeptError):
    """A source (name, hf-hub:, LAYOUT:FILE, local-dir:, path) that cannot be parsed or does not exist.

    Fix: pass a name of ``adept list``, ``hf-hub:org/repo``, a checkpoint folder, a run, or another project's file
    with its layout, such as ``moco:ckpt.pth``.
    """


class RegistryError(AdeptError):
    """A registry file that cannot be read, contradicts itself or reuses the names of another one.

    Fix: correct the file, then check it with ``adept verify --registries``.
    """


class UnpublishedWeightsError(AdeptError):
    """A registered architecture without published weights.

    Fix: use a published name, or train the weights with the command in the message.
    """


class DownloadError(AdeptError):
    """The Hub could not be reached, or refused the request.

    Fix: check the network, ``HF_ENDPOINT`` and ``HF_TOKEN``, then try again.
    """


class PublishError(AdeptError):
    """A checkpoint that cannot be published as it is, or a repository that rejected it.

    Fix: correct what the message names; nothing was published.
    """


class LicenseError(AdeptError):
    """A license that may be less restrictive than that of the weights that training started from.

    Fix: specify a license that the message lists, or ``--relicense`` if you hold the rights.
    """


# --- checkpoints -------------------------------------------------------------------------------------------------


class CheckpointError(AdeptError):
    """A folder or file that is not a valid checkpoint: a file is missing, or the config cannot be read.

    Fix: pass the folder that contains ``config.json`` and ``model.safetensors``.
    """


class IntegrityError(CheckpointError):
    """A file whose content does not match its digest.

    Fix: download it again: ``adept pull NAME --force``.
    """


class FileTooLargeError(IntegrityError):
    """A file that is larger than any valid file of its kind.

    Fix: download the file again from its original source.
    """


class PickleRefusedError(CheckpointError):
    """A file with pickled objects; loading it could run arbitrary code.

    Fix: if you trust the file, convert it to safetensors.
    """


class UnknownKeyError(CheckpointError):
    """A tensor whose name is in no key table.

    Fix: convert the weights of other projects with ``adept import``.
    """


class ShapeMismatchError(CheckpointError):
    """A tensor whose shape does not match the architecture.

    Fix: load the weights into the architecture that the message names.
    """


class IncompleteLoadError(AdeptError):
    """A requested part could not be loaded completely.

    Fix: request only the parts that the checkpoint contains (``parts=``).
    """


class UnknownPartError(IncompleteLoadError, OptionValueError):
    """A part that does not exist, or an empty list of parts.

    Fix: choose from ``backbone``, ``fpn``, ``rpn`` and ``head``.
    """


class UnsupportedModelError(AdeptError):
    """A user's model whose architecture does not match the weights.

    Fix: change the model as the message suggests; ``adept doctor`` checks a config.
    """


class UnsupportedDetectorError(OptionValueError):
    """A detector or framework that this version does not support.

    Fix: choose a detector and a framework from the message.
    """


# --- training ----------------------------------------------------------------------------------------------------


class ImagesError(AdeptError):
    """A source without images, or without any image that can be decoded.

    Fix: pass a folder of images, a text file of paths, or WebDataset shards.
    """


class ImageDecodeError(ImagesError):
    """A file that cannot be decoded as an image.

    Fix: replace or remove the file.
    """


class DataError(AdeptError):
    """A labeled data set that is invalid or damaged.

    Fix: list every problem with ``adept data check DATA``.
    """


class ProposalsError(AdeptError):
    """A proposal table that is missing, invalid or was generated from other images.

    Fix: generate the table again from the same images: ``adept proposals IMAGES --out DIR``.
    """


class RecipeError(AdeptError):
    """A recipe with an unknown field, a value of the wrong type or conflicting values.

    Fix: print every field of a recipe with ``adept recipe NAME``.
    """


class TrainingDivergedError(AdeptError):
    """A loss that is no longer finite, or features that have collapsed.

    Fix: lower the learning rate as the message suggests, or resume from an earlier state.
    """


class ResumeError(AdeptError):
    """A run that cannot be resumed with the given options.

    Fix: resume with the options of the first session, or choose another ``--out``.
    """


class FolderInUseError(AdeptError):
    """A folder that another process is writing to.

    Fix: wait for the other process, or choose another folder.
    """


class TrackerError(AdeptError):
    """An experiment tracker that rejected the run.

    Fix: log in to the tracker, or run without ``--track``.
    """


class NotARunError(AdeptError):
    """A folder that is not a run.

    Fix: pass the folder that was the ``--out`` of ``adept pretrain`` or ``adept finetune``.
    """


# --- the machine -------------------------------------------------------------------------------------------------


class MissingExtraError(AdeptError):
    """A missing optional dependency.

    Fix: run the ``pip install`` command in the message, in the checkout.
    """

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed. In the checkout:\npip install '.[{extra}]'"
        )


class DiskFullError(AdeptError):
    """A full disk, quota or file size limit; no partial file is left under the final name.

    Fix: free space, or choose another folder.
    """


class OutputExistsError(AdeptError):
    """An output that already exists and would be overwritten.

    Fix: choose another folder, or remove this one.
    """
