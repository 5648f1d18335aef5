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
    """A keyword that a call does not take; the nearest that it does take is named."""


class OptionTypeError(AdeptError, TypeError):
    """A value of a type that an option does not take, or arguments that do not fit the signature."""


class OptionValueError(AdeptError, ValueError):
    """A value that is not one of those that an option takes."""


# --- names and sources -------------------------------------------------------------------------------------------


class UnknownModelError(AdeptError):
    """A name that the registry does not hold."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = did_you_mean(name, known, cutoff=0.4)
        super().__init__(f"Unknown model {name!r}.{hint}\nEvery name: adept list --all")


class SourceError(AdeptError):
    """A source (name, hf-hub:, local-dir:, path) that cannot be parsed or does not exist."""


class RegistryError(AdeptError):
    """A registry file that cannot be read, contradicts itself or takes another's names."""


class UnpublishedWeightsError(AdeptError):
    """The architecture is known, weights of it are not published."""


class DownloadError(AdeptError):
    """The Hub could not be reached, or refused."""


class PublishError(AdeptError):
    """A checkpoint that is not fit to be published, or a repository that would not take it."""


class LicenseError(AdeptError):
    """A license that is not known to be at least as restrictive as that of the weights that training started from."""


# --- checkpoints -------------------------------------------------------------------------------------------------


class CheckpointError(AdeptError):
    """A checkpoint folder that is not one: a file is missing, or its config cannot be read."""


class IntegrityError(CheckpointError):
    """A file whose content is not what its digest promises."""


class FileTooLargeError(IntegrityError):
    """A file that is larger than any of its kind."""


class PickleRefusedError(CheckpointError):
    """A file with pickled objects; loading it could run code."""


class UnknownKeyError(CheckpointError):
    """A tensor whose name no key table knows."""


class ShapeMismatchError(CheckpointError):
    """A tensor whose shape is not the one the architecture declares."""


class IncompleteLoadError(AdeptError):
    """A promised part was not wholly loaded."""


class UnknownPartError(IncompleteLoadError, OptionValueError):
    """A word that is not one of the four parts, or no part at all."""


class UnsupportedModelError(AdeptError):
    """A user's model that cannot hold the weights as it is built."""


class UnsupportedDetectorError(OptionValueError):
    """A detector or framework that this version does not build."""


# --- training ----------------------------------------------------------------------------------------------------


class ImagesError(AdeptError):
    """No photographs where photographs were promised, or none that can be read."""


class ImageDecodeError(ImagesError):
    """One file that is not a readable image."""


class DataError(AdeptError):
    """A labeled data set that is none, or is damaged."""


class ProposalsError(AdeptError):
    """A proposal table that is missing, foreign or does not belong to the images."""


class RecipeError(AdeptError):
    """A recipe with an unknown field, a wrong type or values that exclude each other."""


class TrainingDivergedError(AdeptError):
    """A loss or a feature that is no longer finite, or has collapsed."""


class ResumeError(AdeptError):
    """A run that cannot be continued as asked."""


class FolderInUseError(AdeptError):
    """A folder that another process is writing."""


class TrackerError(AdeptError):
    """An experiment tracker that does not take the run."""


class NotARunError(AdeptError):
    """A folder that was taken for a run's and holds none."""


# --- the machine -------------------------------------------------------------------------------------------------


class MissingExtraError(AdeptError):
    """An optional dependency that a command needs."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed.\npip install 'adept-hub[{extra}]'"
        )


class DiskFullError(AdeptError):
    """No space left where something was to be written; nothing half-written is left under the final name."""


class OutputExistsError(AdeptError):
    """The output is already there and would be overwritten."""
