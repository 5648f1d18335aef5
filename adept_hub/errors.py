"""Every mistake a user can make, one class each.

A message says what happened, why, and what to type next, in one to three lines. The command line prints it without a
traceback and exits with status 1; in Python all of them are caught by ``except AdeptError``.
"""

from __future__ import annotations

from collections.abc import Iterable

from adept_hub.words.messages import clean
from adept_hub.words.spelling import did_you_mean


class AdeptError(Exception):
    """Base of every error that adept_hub and adept_training raise on purpose; its text is safe to print."""

    def __str__(self) -> str:
        return clean(super().__str__())


# --- options of a call -------------------------------------------------------------------------------------------


class UnknownOptionError(AdeptError, TypeError):
    """A keyword that a call does not take; the nearest that it does take is named.

    Fix: use the option that the message names; every call lists its options in the Python reference.
    """


class OptionTypeError(AdeptError, TypeError):
    """A value of a type that an option does not take, or arguments that do not fit the signature.

    Fix: pass the type that the message names.
    """


class OptionValueError(AdeptError, ValueError):
    """A value that is not one of those that an option takes.

    Fix: choose one of the values in the message.
    """


# --- names and sources -------------------------------------------------------------------------------------------


class UnknownModelError(AdeptError):
    """A name that the registry does not hold.

    Fix: ``adept list --all`` prints every name.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = did_you_mean(name, known, cutoff=0.4)
        super().__init__(f"Unknown model {name!r}.{hint}\nEvery name: adept list --all")


class SourceError(AdeptError):
    """A source (name, hf-hub:, local-dir:, path) that cannot be parsed or does not exist.

    Fix: pass a name of ``adept list``, ``hf-hub:org/repo``, a checkpoint folder or a run folder.
    """


class RegistryError(AdeptError):
    """A registry file that cannot be read, contradicts itself or takes another's names.

    Fix: correct the file, then check it with ``adept verify --registries``.
    """


class UnpublishedWeightsError(AdeptError):
    """The architecture is known, weights of it are not published.

    Fix: use a published name, or train the weights with the command in the message.
    """


class DownloadError(AdeptError):
    """The Hub could not be reached, or refused.

    Fix: check the network, ``HF_ENDPOINT`` and ``HF_TOKEN``, then run it again.
    """


class PublishError(AdeptError):
    """A checkpoint that is not fit to be published, or a repository that would not take it.

    Fix: mend what the message names; nothing was published.
    """


class LicenseError(AdeptError):
    """A license that is not known to be at least as restrictive as that of the weights that training started from.

    Fix: state a license that the message accepts, or ``--relicense`` if you hold the rights.
    """


# --- checkpoints -------------------------------------------------------------------------------------------------


class CheckpointError(AdeptError):
    """A checkpoint folder that is not one: a file is missing, or its config cannot be read.

    Fix: pass the folder that contains ``config.json`` and ``model.safetensors``.
    """


class IntegrityError(CheckpointError):
    """A file whose content is not what its digest promises.

    Fix: download it again: ``adept pull NAME --force``.
    """


class FileTooLargeError(IntegrityError):
    """A file that is larger than any of its kind.

    Fix: get the file from its origin again.
    """


class PickleRefusedError(CheckpointError):
    """A file with pickled objects; loading it could run code.

    Fix: convert the file to safetensors where you trust it.
    """


class UnknownKeyError(CheckpointError):
    """A tensor whose name no key table knows.

    Fix: ``adept import`` reads the weights of other projects.
    """


class ShapeMismatchError(CheckpointError):
    """A tensor whose shape is not the one the architecture declares.

    Fix: load the weights into the architecture that the message names.
    """


class IncompleteLoadError(AdeptError):
    """A promised part was not wholly loaded.

    Fix: request only the parts that the checkpoint holds (``parts=``).
    """


class UnknownPartError(IncompleteLoadError, OptionValueError):
    """A word that is not one of the four parts, or no part at all.

    Fix: choose from ``backbone``, ``fpn``, ``rpn`` and ``head``.
    """


class UnsupportedModelError(AdeptError):
    """A user's model that cannot hold the weights as it is built.

    Fix: change the model as the message says; ``adept doctor`` checks a config.
    """


class UnsupportedDetectorError(OptionValueError):
    """A detector or framework that this version does not build.

    Fix: choose a detector and a framework from the message.
    """


# --- training ----------------------------------------------------------------------------------------------------


class ImagesError(AdeptError):
    """No photographs where photographs were promised, or none that can be read.

    Fix: pass a folder of images, a text file of paths, or shards.
    """


class ImageDecodeError(ImagesError):
    """One file that is not a readable image.

    Fix: replace or remove the file.
    """


class DataError(AdeptError):
    """A labeled data set that is none, or is damaged.

    Fix: ``adept data check DATA`` lists every problem.
    """


class ProposalsError(AdeptError):
    """A proposal table that is missing, foreign or does not belong to the images.

    Fix: make the table again from the same images: ``adept proposals IMAGES --out DIR``.
    """


class RecipeError(AdeptError):
    """A recipe with an unknown field, a wrong type or values that exclude each other.

    Fix: ``adept recipe NAME`` prints every field of a recipe.
    """


class TrainingDivergedError(AdeptError):
    """A loss or a feature that is no longer finite, or has collapsed.

    Fix: lower the learning rate as the message suggests, or resume from an earlier state.
    """


class ResumeError(AdeptError):
    """A run that cannot be continued as asked.

    Fix: resume with the options of the first run, or choose another ``--out``.
    """


class FolderInUseError(AdeptError):
    """A folder that another process is writing.

    Fix: wait for the other process, or choose another folder.
    """


class TrackerError(AdeptError):
    """An experiment tracker that does not take the run.

    Fix: log in to the tracker, or run without ``--track``.
    """


class NotARunError(AdeptError):
    """A folder that was taken for a run's and holds none.

    Fix: pass the ``--out`` of ``adept pretrain`` or ``adept finetune``.
    """


# --- the machine -------------------------------------------------------------------------------------------------


class MissingExtraError(AdeptError):
    """An optional dependency that a command needs.

    Fix: run the ``pip install`` command in the message.
    """

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed.\npip install 'adept-hub[{extra}]'"
        )


class DiskFullError(AdeptError):
    """No space left where something was to be written; nothing half-written is left under the final name.

    Fix: free space, or choose another folder.
    """


class OutputExistsError(AdeptError):
    """The output is already there and would be overwritten.

    Fix: choose another folder, or remove this one.
    """
