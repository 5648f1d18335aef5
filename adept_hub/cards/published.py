"""Cards and tables of all published models: ``model_cards/`` and ``results/`` of the repository."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from adept_hub.arguments.calls import checked
from adept_hub.cards.card import card_pictures, render_card
from adept_hub.checkpoint.folder import CONFIG, read_config
from adept_hub.io.digest import sha256_file
from adept_hub.io.schema import to_dict
from adept_hub.io.write import atomic_file
from adept_hub.registry import BUNDLED, ModelInfo, list_models, registry
from adept_hub.spec import Preprocessing


def published_cards() -> dict[str, str]:
    """Render the card of every bundled checkpoint, with links to its pictures: file name -> card."""
    cards = {}
    for info in _published():
        if info.folder is not None:
            pictures = card_pictures(info.folder) if info.base == BUNDLED else []
            pictures = [f"../adept_hub/bundled/{info.folder.name}/{path}" for path in pictures]
            cards[f"{info.name}.md"] = render_card(read_config(info.folder), pictures=pictures)
    return cards


def published_tables() -> dict[str, str]:
    """Build tables of the published models and all of their metrics with provenance: file name -> CSV."""
    models = [
        (i.name, i.method, i.spec.depth, i.spec.fpn_channels, i.data, i.images, i.epochs, i.size, i.sha256, i.license)
        for i in _published()
    ]
    metrics = [
        (i.name, m.name, m.value, m.spread, m.data, m.provenance, m.command) for i in _published() for m in i.metrics
    ]
    columns = ("name", "method", "depth", "fpn_channels", "data", "images", "epochs", "bytes", "sha256", "license")
    return {
        "models.csv": _csv(columns, models),
        "metrics.csv": _csv(("name", "metric", "value", "spread", "data", "provenance", "command"), metrics),
    }


def write_cards(folder: Path) -> list[Path]:
    """Write the cards, and remove those of models that are no longer published."""
    cards = published_cards()
    for old in folder.glob("*.md"):
        if old.name not in cards and old.name != "README.md":
            old.unlink()
    return _write(folder, cards)


def write_results(folder: Path) -> list[Path]:
    """Write the tables."""
    return _write(folder, published_tables())


@checked
def registry_entry(
    folder: Path, *, bundled: str = "", parts_of: str = "", repo: str = "", revision: str = ""
) -> dict[str, Any]:
    """Return the entry of models.json for a checkpoint folder, as JSON values.

    Args:
        folder: the checkpoint.
        bundled: the name of its folder in the package,
        parts_of: and of the bundled checkpoint whose tensors it shares; otherwise
        repo: ``org/name`` on the Hub, and
        revision: the commit.
    """
    location = {"bundled": bundled} if bundled else {"repo": repo, "revision": revision}
    location |= {"parts_of": parts_of} if parts_of else {}
    config = read_config(folder)
    provenance = config.provenance
    return {
        "location": location,
        "sha256": config.sha256,
        "size": config.size,
        "config_sha256": sha256_file(folder / CONFIG),
        "license": config.license,
        "data": provenance.data,
        "images": provenance.images,
        "epochs": provenance.epochs,
        "metrics": to_dict(provenance.metrics),
        # ImageNet's values, which nearly all have, are omitted.
        **({} if config.preprocessing == Preprocessing() else {"preprocessing": to_dict(config.preprocessing)}),
    }


def _published() -> list[ModelInfo]:
    entries = registry()
    return [entries[name] for name in list_models(pretrained=True)]


def _write(folder: Path, files: dict[str, str]) -> list[Path]:
    for name, text in files.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
