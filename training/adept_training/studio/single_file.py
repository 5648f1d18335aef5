"""Write the page with its documents and pictures as one file, which needs neither a server nor a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from adept_hub.io.write import atomic_file
from adept_training.runtime.progress import progress_bar
from adept_training.studio.answers import PAGE, Answer, Answers
from adept_training.studio.image_sets import PER_PAGE
from adept_training.studio.pixels import data_address

_STYLE, _SCRIPT = '<link rel="stylesheet" href="studio.css">', '<script src="studio.js" defer></script>'


def write_page(answers: Answers, path: Path) -> int:
    """Write ``path`` with everything that its tabs show; return its size in bytes.

    Raises:
        DiskFullError: the file cannot be written.
    """
    content: dict[str, object] = {}
    addresses = list(_addresses(answers))
    with progress_bar(len(addresses), "writing the page", " parts") as bar:
        for address in addresses:
            content[address] = _embedded(answers.answer(address))
            bar.update(1)
    for s, one in enumerate(answers.sets):
        for m, source in enumerate(answers.models.sources):
            if one.split is not None and source.kind == "fine-tuned detector":
                content[f"/api/errors/{s}/{m}.json"] = answers.evaluations.wait(m, s, one.split)
    style, script = ((PAGE / name).read_text(encoding="utf-8") for name in ("studio.css", "studio.js"))
    page = (PAGE / "studio.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>'
    # The script comes last, so that it finds the data.
    page = page.replace(_STYLE, head).replace(_SCRIPT, "")
    body = f'<script type="application/json" id="content">{data}</script>\n<script>{script}</script>\n</body>'
    with atomic_file(path) as temporary:
        temporary.write_text(page.replace("</body>", body), encoding="utf-8")
    return path.stat().st_size


def _addresses(answers: Answers) -> Iterator[str]:
    """Yield what the page may ask for, besides errors, which take a whole evaluation."""
    yield "/api/start.json"
    yield from (f"/api/runs/{c}.json" for c in range(len(answers.comparisons)))
    maps = len(answers.models) + 1 if len(answers.models) else 0
    for s, one in enumerate(answers.sets):
        yield from (f"/api/images/{s}/{page}.json" for page in range(-(-len(one) // PER_PAGE)))
        if one.split is not None and answers.tables.names:
            yield f"/api/recall/{s}.json"
        for i in range(len(one)):
            yield from (f"/image/{s}/{i}/{size}.jpg" for size in ("thumb", "large"))
            if answers.tables.names:
                yield f"/api/boxes/{s}/{i}.json"
            yield from (f"/api/views/{s}/{i}/{v}/0.json" for v in range(len(answers.views)))
            yield from (f"/api/maps/{s}/{i}/{m}.json" for m in range(maps))
            yield from (f"/api/found/{s}/{i}/{m}.json" for m in range(len(answers.models)))


def _embedded(answer: Answer) -> object:
    if answer.kind == "image/jpeg":
        return data_address(answer.content, "jpeg")
    return json.loads(answer.content)


def _digest(text: str) -> str:
    """Return the hash of an inline element for the Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
