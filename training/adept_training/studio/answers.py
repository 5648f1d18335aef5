"""Answers to the addresses that the page asks for; the page's own file and the server give the same ones."""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from adept_hub.errors import AdeptError
from adept_training.labels.records import Split
from adept_training.studio.detectors import Models
from adept_training.studio.errors import Evaluations
from adept_training.studio.image_sets import ImageSet, page_of, search
from adept_training.studio.overview import start_document
from adept_training.studio.pixels import LARGE, THUMBNAIL, jpeg
from adept_training.studio.proposals import Tables, boxes_document, recall_document
from adept_training.studio.runs import runs_document
from adept_training.studio.sources import Opened
from adept_training.studio.views import ViewMaker

#: Bytes of finished answers that are kept.
CACHE_BYTES = 256 << 20
PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("studio.html", "text/html; charset=utf-8"),
    "/studio.css": ("studio.css", "text/css; charset=utf-8"),
    "/studio.js": ("studio.js", "text/javascript; charset=utf-8"),
}
_JSON, _JPEG = "application/json", "image/jpeg"


class Answer(NamedTuple):
    """Status, type and content."""

    status: int
    kind: str
    content: bytes


@dataclass(eq=False)
class Answers:
    """The documents and pictures of a page, made when they are asked for."""

    sources: tuple[Opened, ...]
    sets: tuple[ImageSet, ...]
    device: str = "auto"
    #: Why the page shows fewer images than there are, for a page in one file.
    limit: str = ""

    def __post_init__(self) -> None:
        self.models = Models(self.sources, self.device)
        self.evaluations = Evaluations(self.models)
        with_boxes = [one for one in self.sources if one.table is not None]
        self.tables = Tables([(one.name, one.table) for one in with_boxes if one.table is not None])
        self.comparisons = [(one.name, one.folder) for one in self.sources if one.kind == "comparison" and one.folder]
        self.views = self._view_makers(with_boxes)
        self._cache: OrderedDict[str, Answer] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def _view_makers(self, with_boxes: list[Opened]) -> list[tuple[str, ViewMaker]]:
        """Return a maker per recipe: on the table of its run, else on the first table."""
        makers = []
        for one in self.sources:
            if one.recipe is not None and with_boxes and one.recipe.method.name != "byol":
                t = with_boxes.index(one) if one in with_boxes else 0
                makers.append((one.name, ViewMaker(one.recipe, self.tables, t)))
        return makers

    def answer(self, address: str) -> Answer:
        """Return what an address, such as ``/api/boxes/0/3.json``, stands for; never raises an `AdeptError`."""
        if address in _FILES:
            name, kind = _FILES[address]
            return Answer(200, kind, (PAGE / name).read_bytes())
        with self._lock:
            if address in self._cache:
                self._cache.move_to_end(address)
                return self._cache[address]
        try:
            made = self._make(address)
        except AdeptError as error:
            return _document({"error": str(error)}, 422)
        if made is None:
            return _document({"error": "There is no such page."}, 404)
        if "/errors/" not in address and "/runs/" not in address:
            self._keep(address, made)
        return made

    def _keep(self, address: str, made: Answer) -> None:
        with self._lock:
            if address not in self._cache:
                self._cache[address] = made
                self._cached += len(made.content)
            while self._cached > CACHE_BYTES and len(self._cache) > 1:
                self._cached -= len(self._cache.popitem(last=False)[1].content)

    def _make(self, address: str) -> Answer | None:
        if address == "/api/start.json":
            return _document(start_document(self))
        if match := re.fullmatch(r"/api/find/(\d{1,9})/([^/]{1,600})\.json", address):
            s, text = int(match[1]), unquote(match[2], errors="replace")
            return _document(search(self.sets[s], text)) if s < len(self.sets) else None
        if match := re.fullmatch(r"/image/(\d{1,9})/(\d{1,9})/(thumb|large)\.jpg", address):
            s, i, longest = int(match[1]), int(match[2]), THUMBNAIL if match[3] == "thumb" else LARGE
            return Answer(200, _JPEG, jpeg(self.sets[s].pixels(i), longest)) if self._exists(s, i) else None
        match = re.fullmatch(r"/api/([a-z]+)((?:/\d{1,9})+)\.json", address)
        maker = self._makers().get(match[1]) if match else None
        if match is None or maker is None:
            return None
        numbers, (kinds, make) = [int(word) for word in match[2].split("/")[1:]], maker
        return _document(make(*numbers)) if self._fit(kinds, numbers) else None

    def _makers(self) -> dict[str, tuple[str, Callable[..., dict[str, Any]]]]:
        """Return the documents by name, with the kinds of their arguments (see `_fit`)."""
        sets = self.sets
        return {
            "images": ("sn", lambda s, page: page_of(sets[s], page)),
            "boxes": ("si", lambda s, i: boxes_document(self.tables, sets[s], i)),
            "recall": ("s", lambda s: recall_document(self.tables, sets[s])),
            "views": ("sivn", lambda s, i, v, epoch: self.views[v][1].document(sets[s], i, epoch)),
            "maps": ("sir", lambda s, i, m: self.models.maps(m, sets[s], i)),
            "found": ("sim", lambda s, i, m: self.models.found(m, sets[s], i)),
            "errors": ("lm", lambda s, m: self.evaluations.document(m, s, self._split(s))),
            "runs": ("c", lambda c: runs_document(self.comparisons[c][1])),
        }

    def _fit(self, kinds: str, numbers: list[int]) -> bool:
        """Check that arguments exist: a set (s), a labeled one (l), its image (i), a model (m) or the random one (r), a
        recipe (v), a comparison (c), and any number (n).
        """
        models = len(self.models)
        counts = {"m": models, "r": models + 1 if models else 0, "v": len(self.views), "c": len(self.comparisons)}
        if len(kinds) != len(numbers):
            return False
        for kind, number in zip(kinds, numbers, strict=True):
            if kind in "sl" and not (number < len(self.sets) and (kind == "s" or self.sets[number].split is not None)):
                return False
            if kind == "i" and not self._exists(numbers[0], number):
                return False
            if number >= counts.get(kind, number + 1):
                return False
        return True

    def _exists(self, s: int, i: int) -> bool:
        return s < len(self.sets) and i < len(self.sets[s])

    def _split(self, s: int) -> Split:
        split = self.sets[s].split
        assert split is not None
        return split


def _document(content: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, _JSON, json.dumps(content, separators=(",", ":"), allow_nan=False).encode())
