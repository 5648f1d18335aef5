"""Warn about a table whose boxes are fallbacks: pre-training would learn from whole images, not from objects."""

from __future__ import annotations

from pathlib import Path

from adept_hub.words.command_line import command_line

MANY = 0.2  # of the images


def fallback_warning(images: int, fallbacks: int, preset: str, source: str | Path, table: str | Path) -> str | None:
    """Return what to say if a fifth of the images or more fell back, and the command to try.

    Args:
        images: of the table.
        fallbacks: images among them.
        preset: its name.
        source: the images, as on the command line.
        table: folder of the table.
    """
    if not images or fallbacks < MANY * images:
        return None
    share = f"{fallbacks} of {images} images ({100 * fallbacks / images:.0f}%)"
    if preset == "objects":
        return (
            f"no object was found in {share}: their box is a fallback, and they teach nothing about objects. Look at "
            f"them:\n  {command_line('proposals', 'show', table, '--images', source, '--out', f'{table}-look')}"
        )
    return (
        f"preset {preset} left no box in {share}: their box is a fallback, not an object. Objects that are many or "
        "small need another preset:\n"
        f"  {command_line('proposals', source, '--preset', 'objects', '--boxes', 50, '--out', f'{table}-objects')}"
    )
