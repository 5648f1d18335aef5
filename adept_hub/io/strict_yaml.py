"""YAML of plain values, never objects, and no name twice in one mapping, of which PyYAML would keep the last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_MAX_FLOW_DEPTH = 200


def loads(text: str) -> Any:
    """Return the values of a YAML text.

    Raises:
        yaml.YAMLError: not YAML, a value that is no plain one, or a name twice.
        RecursionError: nested too deeply.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _check_unique(node)
            return super().construct_mapping(node, deep)

    if _flow_depth(text) > _MAX_FLOW_DEPTH:  # before PyYAML, whose time grows with the square of it
        raise RecursionError("nested too deeply")
    return yaml.load(text, Loader)  # a SafeLoader


def _flow_depth(text: str) -> int:
    """How deep brackets and braces are nested at most; those within quotes count as well."""
    depth = deepest = 0
    for found in re.finditer(r"[\[{\]}]", text):
        depth = depth + 1 if found[0] in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _check_unique(node: yaml.MappingNode) -> None:
    import yaml

    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        # Keys that are not scalars are refused or told apart by PyYAML itself; << may stand more than once.
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value[:80]!r} stands twice in one mapping", key.start_mark
                )
            seen.add((key.tag, key.value))
