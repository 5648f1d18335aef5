"""Look at a page in a browser without a window: what is cut, covered, or wider than the screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

#: What lies beyond the screen, less what a box scrolls; and texts of plots that leave their plot or cover each other.
_SCRIPT = """
<script>
function look(frame) {
  const wide = [], cut = [], covered = [], page = frame.contentDocument, view = frame.contentWindow;
  const screen = page.documentElement.clientWidth;
  const scrolls = node => node && (view.getComputedStyle(node).overflowX === "auto" || scrolls(node.parentElement));
  for (const details of page.querySelectorAll("details")) details.open = true;
  for (const node of page.body.querySelectorAll("*")) {
    const box = node.getBoundingClientRect();
    if (box.width && (box.right > screen + 1 || box.left < -1) && !scrolls(node) && !node.closest("svg"))
      wide.push(node.tagName + ": " + node.textContent.slice(0, 40));
  }
  for (const svg of page.querySelectorAll("svg")) {
    const all = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map(text => text.getBoundingClientRect());
    boxes.forEach((a, i) => {
      if (a.left < all.left - 1 || a.right > all.right + 1 || a.top < all.top - 1 || a.bottom > all.bottom + 1)
        cut.push(texts[i].textContent);
      boxes.slice(i + 1).forEach((b, j) => {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1 && y > 3) covered.push(texts[i].textContent + " / " + texts[i + 1 + j].textContent);
      });
    });
  }
  return {screen, wide, cut, covered};
}
onload = () => {
  const all = [...document.querySelectorAll("iframe")].map(look);
  document.body.innerHTML = "<pre id=result></pre>";
  document.getElementById("result").textContent = JSON.stringify(all);
};
</script>
"""


def look(pages: Sequence[Path], widths: Sequence[int], folder: Path) -> list[dict[str, list[str]]]:
    """Open each page on screens of each width, in one browser; skip the test without one."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip("no Chromium")
    seen = list(product(pages, widths))
    frames = []
    for page, width in seen:
        content = html.escape(page.read_text(encoding="utf-8"))
        frames.append(f'<iframe style="border: 0" width="{width}" height="900" srcdoc="{content}"></iframe>')
    (folder / "look.html").write_text(f"<!doctype html><body>{''.join(frames)}{_SCRIPT}</body>", encoding="utf-8")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", f"--user-data-dir={folder / 'browser'}", "--dump-dom",
             (folder / "look.html").as_uri()]  # fmt: skip
    try:
        dom = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    finally:
        shutil.rmtree(folder / "browser", ignore_errors=True)
    found = re.search(r'<pre id="result">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None, dom[-500:]
    results = json.loads(html.unescape(found[1]))
    assert [result.pop("screen") for result in results] == [width for _, width in seen]
    return list(results)
