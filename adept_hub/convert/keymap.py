"""Two-way key tables: one literal table of module names renames a state dict in both directions.

A row pairs a canonical module with the same module in a framework; its kind determines the module's tensors. A slot
``{}`` stands for one decimal number and is copied by position. A key that matches no row raises, in both directions:
nothing is ever skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from adept_hub.errors import CheckpointError, UnknownKeyError

Kind = Literal["conv", "conv_bias", "linear", "norm"]

#: The tensors of a module of each kind. A ``conv_bias`` before a norm has its bias only once the norm is folded.
LEAVES: Mapping[Kind, tuple[str, ...]] = {
    "conv": ("weight",),
    "conv_bias": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "norm": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
}

# No leading zeros: "01" and "1" must not become the same key.
_SLOT = r"(0|[1-9][0-9]*)"


class KeyRow(NamedTuple):
    """A kind of module with its two names."""

    kind: Kind
    canonical: str
    target: str


class _Rule(NamedTuple):
    kind: Kind
    pattern: re.Pattern[str]
    template: str


@dataclass(frozen=True)
class KeyTable:
    """The names of one framework's detector.

    Attributes:
        framework: the framework's name, for messages.
        rows: the table. A canonical module may have several targets (Cascade's three heads), never the reverse.
        fresh: patterns (regular expressions) of target keys in no pre-trained part: predictors, mask head.
    """

    framework: str
    rows: tuple[KeyRow, ...]
    fresh: tuple[str, ...] = ()
    _forward: tuple[_Rule, ...] = field(init=False, repr=False, compare=False)
    _backward: tuple[_Rule, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len({row.target for row in self.rows}) != len(self.rows):
            raise ValueError(f"two rows of the {self.framework} table share a target")
        object.__setattr__(self, "_forward", tuple(_Rule(k, _compile(a), b) for k, a, b in self.rows))
        object.__setattr__(self, "_backward", tuple(_Rule(k, _compile(b), a) for k, a, b in self.rows))

    def targets(self, key: str) -> tuple[str, ...]:
        """Return the framework's keys for a canonical key: one, or one per stage.

        Raises:
            UnknownKeyError: the key matches no row.
        """
        targets = _apply(self._forward, key)
        if not targets:
            raise UnknownKeyError(
                f"The canonical tensor {key!r} has no counterpart in a {self.framework} detector.\n"
                "The checkpoint contains a part that this version does not support. In the checkout:\n"
                "git pull && pip install ."
            )
        return targets

    def canonical(self, key: str) -> str | None:
        """Return the canonical key for a framework's key; None for one in no pre-trained part (a predictor's).

        Raises:
            UnknownKeyError: the key matches no row.
        """
        matches = _apply(self._backward, key)
        if matches:
            return matches[0]
        if self.is_fresh(key):
            return None
        raise UnknownKeyError(
            f"A {self.framework} detector of this architecture (its ResNet, FPN, RPN and RoI head) has no tensor "
            f"{key!r}.\nTo compare your model with it: adept doctor FILE --target {self.framework}"
        )

    def is_fresh(self, key: str) -> bool:
        """Check whether the framework's key belongs to a predictor or mask head, which is trained downstream."""
        return any(re.fullmatch(pattern, key) for pattern in self.fresh)

    def to_target(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename a canonical state dict to the framework's keys; the tensors are shared, not copied."""
        return {target: tensor for key, tensor in tensors.items() for target in self.targets(key)}

    def to_canonical(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename a framework's state dict to canonical keys, without predictors; tensors are shared, not copied.

        Raises:
            UnknownKeyError: a key is unknown.
            CheckpointError: the stages of a Cascade differ, since they were trained.
        """
        tensors: dict[str, Tensor] = {}
        for key, tensor in state.items():
            name = self.canonical(key)
            if name is None:
                continue
            if name in tensors and not _identical(tensors[name], tensor):
                raise CheckpointError(
                    f"The stages of this Cascade R-CNN differ at {name!r}: they were fine-tuned and are no longer one "
                    "pre-trained head.\nPass the model from before fine-tuning, or exclude the head: "
                    "parts=('backbone', 'fpn', 'rpn')"
                )
            tensors.setdefault(name, tensor)
        return tensors


def _compile(template: str) -> re.Pattern[str]:
    return re.compile(_SLOT.join(re.escape(piece) for piece in template.split("{}")))


def _apply(rules: Iterable[_Rule], key: str) -> tuple[str, ...]:
    module, _, leaf = key.rpartition(".")
    return tuple(
        f"{rule.template.format(*match.groups())}.{leaf}"
        for rule in rules
        if leaf in LEAVES[rule.kind] and (match := rule.pattern.fullmatch(module))
    )


def _identical(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a, b)))
