"""Collect what a format cannot express."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Losses:
    """Collects what is lost or changed in a conversion."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: Largest change of a coordinate, pixels.
    shift: float = 0.0

    def add(self, what: str, count: int = 1) -> None:
        """Count objects that lose something."""
        if count:
            self.counts[what] = self.counts.get(what, 0) + count

    def say(self, what: str) -> None:
        """Add a sentence."""
        self.notes.append(what)

    def moved(self, *changes: float) -> None:
        """Record changes of coordinates, pixels."""
        self.shift = max(self.shift, *map(abs, changes))

    def lines(self) -> list[str]:
        """Return a line for each."""
        lines = [f"{what}: {count}" for what, count in self.counts.items()] + self.notes
        return lines + ([f"coordinates are rounded, by at most {self.shift:.2g} pixels"] if self.shift > 1e-9 else [])
