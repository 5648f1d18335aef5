"""The parts that a call promises to load, and their tensors in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from adept_hub.arguments.choices import chosen_parts
from adept_hub.checkpoint.folder import read_tensors
from adept_hub.errors import IncompleteLoadError
from adept_hub.hub.fetch import Fetched
from adept_hub.models.contract import part_of
from adept_hub.spec import CheckpointConfig


def promised_parts(parts: str | Iterable[str], config: CheckpointConfig) -> tuple[str, ...]:
    """Return the parts in the order of the network.

    Raises:
        UnknownPartError: a word that is not a part.
        IncompleteLoadError: the checkpoint lacks a requested part.
    """
    requested = chosen_parts(parts)
    if lacking := [part for part in requested if part not in config.parts]:
        rest = [part for part in requested if part in config.parts] or config.parts
        raise IncompleteLoadError(
            f"{config.name} has no {' and no '.join(lacking)}: it is a {config.provenance.method} checkpoint.\n"
            f"Load the parts that it has and train the others from scratch: parts={tuple(rest)!r} "
            f"(adept export: --parts {' '.join(rest)})"
        )
    return requested


def promised_tensors(fetched: Fetched, promised: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the canonical tensors of these parts; raise the errors of `adept_hub.checkpoint.folder.read_tensors`."""
    return {key: t for key, t in read_tensors(fetched.folder, fetched.config).items() if part_of(key) in promised}
