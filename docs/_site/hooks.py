"""Make a site of documents that are written for the repository: root files become pages, links to them follow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
#: Files of the repository's root and the pages that they become.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CHANGELOG.md": "changelog.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root's files."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_from_docs(text)))
    return files


def _from_docs(text: str) -> str:
    """Point links of the root's files at pages; the folder of the reference has none of its own."""
    return re.sub(r"\]\(docs/", "](", text.replace("](docs/reference)", "](docs/reference/python.md)"))


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links at pages or at the repository, and take the names of code blocks (tests use them) as titles."""
    depth = page.file.src_uri.count("/")
    for name, to in PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(name)}(#[\w-]*)?\)", rf"]({'../' * depth}{to}\1)", markdown)
    outside = r"\]\((?:\.\./)*((?:tests|benchmarks|training|adept_hub|model_cards|notebooks|results|docker)/[^)]*)\)"
    markdown = re.sub(outside, rf"]({config.repo_url}/blob/main/\1)", markdown)
    return re.sub(r"^```python (\w+)$", r'```python title="\1"', markdown, flags=re.M)
