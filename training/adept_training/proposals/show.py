"""Implement ``adept proposals show``: pictures of a few images and a report over all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adept_hub.arguments.calls import checked
from adept_hub.errors import ProposalsError
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.write import atomic_file
from adept_training.images import open_images
from adept_training.proposals import pictures
from adept_training.proposals.measure import Statistics, measure
from adept_training.proposals.report import proposals_page
from adept_training.proposals.search.presets import preset_from_dict
from adept_training.proposals.table.shards import UNREADABLE_FILE
from adept_training.proposals.table.store import ProposalTable

_LOG = BoundedReader(ProposalsError, MAX_LOG)


@dataclass(frozen=True)
class Shown:
    """The files written."""

    report: Path
    pictures: tuple[Path, ...]
    statistics: Statistics


@checked
def show(table: str | Path, images: str | Path, out: str | Path, *, samples: int = 12, seed: int = 0) -> Shown:
    """Write ``report.html`` and one PNG per sampled image into the folder ``out``.

    Raises:
        ProposalsError: the table is missing, or of other images. ImagesError: there are no images.
    """
    opened, source, folder = ProposalTable.open(table), open_images(images), Path(out)
    present = set(source.keys())
    keys = [key for key in opened if key in present]
    if not keys:
        raise ProposalsError(
            f"None of the {len(opened)} images of {table} is in {images}.\nGive the same IMAGES as to adept proposals."
        )
    preset = preset_from_dict(opened.metadata["preset"])
    statistics = measure(opened, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = sorted(np.random.default_rng(seed).permutation(len(keys))[:samples].tolist())
    drawn, files = [], []
    for number, i in enumerate(chosen):
        picture, kept, dropped = pictures.draw(opened, source, keys[i], preset)
        note = ", by fallback" if opened.fallback(keys[i]) else ""
        drawn.append((f"{keys[i]}: {kept} boxes kept{note}, {dropped} dropped (each counted once)", picture))
        files.append(folder / f"sample-{number:02d}.png")
        with atomic_file(files[-1]) as temporary:
            picture.save(temporary, format="PNG")
    unreadable = Path(table) / UNREADABLE_FILE
    page = proposals_page(
        Path(table).name,
        statistics,
        _made(opened),
        len(_LOG.read(unreadable).splitlines()) if unreadable.is_file() else 0,
        drawn,
    )
    page.write(folder / "report.html")
    return Shown(folder / "report.html", tuple(files), statistics)


def _made(table: ProposalTable) -> dict[str, str]:
    """Return how the table was made, as flat names and values."""
    preset = dict(table.metadata["preset"])
    name = preset.pop("name")
    made = {"preset": name, "engine": ", ".join(f"{k} {v}" for k, v in table.metadata["engine"].items() if k != "name")}
    made["implementation"] = table.metadata["engine"]["name"]
    made["decoder"] = table.metadata["decoder"]
    made |= {key: json.dumps(value) for key, value in preset.items()}
    return made
