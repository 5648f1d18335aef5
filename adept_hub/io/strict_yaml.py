"""YAML of plain values, never objects, and no name twice in one mapping, of which PyYAML would keep the last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_MAX_FLOW_DEPTH = 200
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: Of a number: Python writes no longer ones, and PyYAML's time for 1:30:00:... grows with the square of the length.
_MAX_DIGITS = 4300
#: Values once every alias is written out; a few lines of aliases of aliases would be billions.
_MAX_VALUES = 10_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(text: str) -> Any:
    """Return the values of a YAML text.

    Raises:
        yaml.YAMLError: not YAML, a value that is no plain one, a lone surrogate, a name twice, or values that contain
            themselves.
        ValueError: a value that is not of the type that its tag states, or a number beyond all bounds.
        RecursionError: nested too deeply.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _check_unique(node)
            return super().construct_mapping(node, deep)

        def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
            if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
                raise ValueError(f"a number of {len(node.value):,} characters")
            if isinstance(node.value, str) and _SURROGATE.search(node.value):
                raise yaml.constructor.ConstructorError(None, None, "a text holds a lone surrogate", node.start_mark)
            return super().construct_scalar(node)

        def construct_document(self, node: yaml.Node) -> Any:
            _check_aliases(node)
            return super().construct_document(node)

    if _flow_depth(text) > _MAX_FLOW_DEPTH:  # before PyYAML, whose time grows with the square of it
        raise RecursionError("nested too deeply")
    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except (ArithmeticError, LookupError, AttributeError, TypeError) as error:  # !!bool x, !!timestamp x, 1:00:...:0.5
        raise ValueError(f"a value that is not of its type ({type(error).__name__})") from error


def _flow_depth(text: str) -> int:
    """How deep brackets and braces are nested at most; those within quotes count as well."""
    depth = deepest = 0
    for found in re.finditer(r"[\[{\]}]", text):
        depth = depth + 1 if found[0] in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _check_aliases(root: yaml.Node) -> None:
    """Refuse what contains itself, and what would be too much once every alias is written out."""
    import yaml

    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if (known := counts.get(id(node))) is not None:
            if known == 0:
                raise yaml.constructor.ConstructorError(None, None, "values that contain themselves", node.start_mark)
            return known
        counts[id(node)] = 0  # while it is counted
        pairs = isinstance(node, yaml.MappingNode)
        total = 1 + sum(count(item) for value in node.value for item in (value if pairs else (value,)))
        if total > _MAX_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "too many values behind aliases", node.start_mark)
        counts[id(node)] = total
        return total

    count(root)


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
