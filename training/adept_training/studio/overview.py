"""Overview that the page asks for first: the sources, the sets of images, and the reasons of empty tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adept_hub.words.command_line import command_line
from adept_training.comparing.command import compare_command
from adept_training.studio.image_sets import PER_PAGE, shown
from adept_training.studio.sources import Opened

if TYPE_CHECKING:
    from adept_training.studio.answers import Answers


def start_document(answers: Answers) -> dict[str, Any]:
    """Return the overview."""
    models = answers.models
    return {
        "sources": [_source(one) for one in answers.sources],
        "notes": [shown(note) for one in answers.sources for note in one.notes],
        "limit": answers.limit, "per_page": PER_PAGE,
        "sets": [
            {
                "name": one.name, "count": len(one), "labeled": one.split is not None,
                "classes": [] if one.split is None else [shown(name) for name in one.split.classes],
            }
            for one in answers.sets
        ],
        "tables": answers.tables.names,
        "views": [name for name, _ in answers.views],
        "maps": _maps(answers),
        "models": [{"name": one.name, "tuned": one.kind == "fine-tuned detector"} for one in models.sources],
        "comparisons": [name for name, _ in answers.comparisons],
        "empty": _empty(answers),
    }  # fmt: skip


def _source(one: Opened) -> dict[str, str]:
    about = str(one.kind)
    if one.config is not None and one.kind != "fine-tuned detector":
        about += f", {one.config.provenance.method}, {one.config.provenance.images or 'unknown'} images"
    return {"name": one.name, "word": shown(one.word), "kind": one.kind, "about": about}


def _maps(answers: Answers) -> list[dict[str, Any]]:
    """Return the networks with an RPN, and that of the first source with random weights."""
    sources = answers.models.sources
    rows: list[dict[str, Any]] = [{"name": one.name, "m": m} for m, one in enumerate(sources) if _has_rpn(one)]
    if sources and _has_rpn(sources[0]):
        rows.append({"name": "random weights", "m": len(sources)})
    return rows


def _has_rpn(one: Opened) -> bool:
    return one.config is not None and {"backbone", "fpn", "rpn"} <= set(one.config.parts)


def _empty(answers: Answers) -> dict[str, dict[str, str]]:
    """Return for every tab without content the reason, and what to type."""
    word = next((one.word for one in answers.sources), "SOURCE")
    tuned = any(one.kind == "fine-tuned detector" for one in answers.models.sources)
    labeled = any(one.split is not None for one in answers.sets)
    empty: dict[str, dict[str, str]] = {}
    with_boxes = command_line("studio", word, "boxes", "--images", "IMAGES")
    find_boxes = f"{command_line('proposals', 'IMAGES', '--out', 'boxes')}\n{with_boxes}"
    look = command_line("studio", "RUN", "--data", "DATA")
    if not answers.tables.names:
        empty["proposals"] = {
            "why": "No source has boxes. Find some in your images, then give the folder as a further source.",
            "type": find_boxes,
        }
    if not answers.views:
        why = "Views need a pre-training recipe and boxes: a run of adept pretrain whose table is still there."
        empty["views"] = {"why": why, "type": find_boxes}
    if not any(_has_rpn(one) for one in answers.models.sources):
        why = "No source has weights with an RPN."
        empty["objectness"] = {"why": why, "type": command_line("studio", "adept_joint")}
    if not len(answers.models):
        predict = command_line("studio", "RUN", "--images", "IMAGES")
        empty["predictions"] = {"why": "No source has weights.", "type": predict}
    if not tuned or not labeled:
        lacking = "a fine-tuned detector" if not tuned else "labeled images"
        empty["errors"] = {
            "why": f"Errors need {lacking}.",
            "type": look if tuned else f"{command_line('finetune', word, '--data', 'DATA', '--out', 'RUN')}\n{look}",
        }
    if not answers.comparisons:
        compare = compare_command(word, "DIR")
        why = "No source is the folder of a comparison."
        empty["runs"] = {"why": why, "type": f"{compare}\n{command_line('studio', 'DIR')}"}
    return empty
