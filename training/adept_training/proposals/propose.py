"""Propose boxes for a few images, in this process, in a worker, or on a cluster."""

from __future__ import annotations

import sys

from adept_hub.errors import ImageDecodeError
from adept_hub.words.text import is_utf8, one_line
from adept_training.images import ImageSource, content_hash, decode
from adept_training.proposals.search.boxes import to_proposals
from adept_training.proposals.search.presets import Preset
from adept_training.proposals.selective import selective_search
from adept_training.proposals.table.shards import ProposalRow, Unreadable


def propose(images: ImageSource, preset: Preset) -> list[ProposalRow | Unreadable]:
    """Return a row, or the reason why there is none, for every key of ``images``, in order."""
    return [_propose_one(images, key, preset) for key in images.keys()]  # noqa: SIM118 - a method, not a dict


def _propose_one(images: ImageSource, key: str, preset: Preset) -> ProposalRow | Unreadable:
    if not is_utf8(key):  # a string column of a table is UTF-8
        return Unreadable(key, f"{one_line(key)} has a name that is not UTF-8. Rename the file.")
    try:
        content = images.read(key)
        image_HWC = decode(content, key)
        height, width = image_HWC.shape[:2]
        regions = selective_search(image_HWC, preset)
    except ImageDecodeError as error:
        return Unreadable(key, str(error))
    except MemoryError:
        return Unreadable(key, f"{key} needs more memory than there is. Shrink it, or use fewer workers.")
    boxes, fallback = to_proposals(regions, (width, height), preset)
    return ProposalRow(key, width, height, boxes, fallback, content_hash(content))


def engine_version(preset: Preset) -> dict[str, str]:
    """Return the implementation of this preset and the versions of libraries that its boxes depend on."""
    import numpy

    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "numpy": numpy.__version__}
    if preset.algorithm.startswith("opencv"):
        import cv2

        return {"name": "opencv", "opencv": cv2.__version__, **versions}
    import numba

    if preset.algorithm == "objects":
        import cv2

        return {"name": "objects, version 1", "opencv": cv2.__version__, "numba": numba.__version__, **versions}
    return {"name": "adept_training.proposals, version 1", "numba": numba.__version__, **versions}
