"""The report of a load, part by part; it is complete, so that nothing can fail silently."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PartReport:
    """One part of a detector after a load.

    ``loaded`` and ``bytes`` count the tensors loaded from the checkpoint (bytes in memory). ``reinitialized`` lists the
    model's tensors that keep their initial values, ``reshaped`` those whose values were adapted to another shape or
    form, and ``skipped`` the checkpoint's tensors that were not used, each with the reason.
    """

    part: str
    loaded: int = 0
    bytes: int = 0
    reinitialized: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """The result of a load, one row per part; ``str(report)`` is a table.

    ``license`` is that of the weights, a Hub identifier such as ``apache-2.0``, or ``unstated``.
    """

    source: str
    name: str
    parts: tuple[PartReport, ...]
    notes: tuple[str, ...] = field(default=())
    license: str = ""

    def __getitem__(self, part: str) -> PartReport:
        for row in self.parts:
            if row.part == part:
                return row
        raise KeyError(part)

    @property
    def loaded(self) -> int:
        """Number of tensors loaded from the checkpoint."""
        return sum(row.loaded for row in self.parts)

    @property
    def bytes(self) -> int:
        """Size of the loaded tensors in memory, in bytes."""
        return sum(row.bytes for row in self.parts)

    def __str__(self) -> str:
        head = ("part", "loaded", "MB", "re-initialized", "reshaped", "skipped")
        rows = [head, *(_cells(row) for row in self.parts)]
        total = [self.loaded, f"{self.bytes / 1e6:.1f}", *(_sum(self.parts, at) for at in _COUNTED)]
        rows.append(("total", *map(str, total)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [f"{self.name} from {self.source}" + (f", license of the weights: {self.license}" * bool(self.license))]
        for first, *rest in rows:
            padded = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            lines.append("  ".join([first.ljust(widths[0]), *padded]))
        for part in self.parts:
            lines += [f"  {part.part}: {key} was skipped: {why}" for key, why in part.skipped[:3]]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


_COUNTED = ("reinitialized", "reshaped", "skipped")


def _sum(parts: tuple[PartReport, ...], attribute: str) -> int:
    return sum(len(getattr(row, attribute)) for row in parts)


def _cells(row: PartReport) -> tuple[str, ...]:
    counts = (str(len(getattr(row, attribute))) for attribute in _COUNTED)
    return (row.part, str(row.loaded), f"{row.bytes / 1e6:.1f}", *counts)
