"""Parse YAML of plain values, never objects, without duplicate keys, of which PyYAML would keep the last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_MAX_FLOW_DEPTH = 200
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: Maximum length of a number: Python writes none that is longer, and PyYAML is quadratic for 1:30:00:...
_MAX_DIGITS = 4300
#: Maximum number of values with all aliases expanded; a few lines of nested aliases could yield billions.
_MAX_VALUES = 10_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(text: str) -> Any:
    """Return the values of a YAML text.

    Raises:
        yaml.YAMLError: not YAML, a value that is not plain, a lone surrogate, a duplicate key, or values that contain
            themselves.
        ValueError: a value that does not match its tag, or a number that is too long.
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
                raise yaml.constructor.ConstructorError(
                    None, None, "a string contains a lone surrogate", node.start_mark
                )
            return super().construct_scalar(node)

        def construct_document(self, node: yaml.Node) -> Any:
            _check_aliases(node)
            return super().construct_document(node)

    if _flow_depth(text) > _MAX_FLOW_DEPTH:  # checked before, since PyYAML is quadratic in it
        raise RecursionError("nested too deeply")
    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except (ArithmeticError, LookupError, AttributeError, TypeError) as error:  # !!bool x, !!timestamp x, 1:00:...:0.5
        raise ValueError(f"a value does not match its type ({type(error).__name__})") from error


def _flow_depth(text: str) -> int:
    """Return the maximum depth of brackets and braces, including those in quotes."""
    depth = deepest = 0
    for bracket in re.finditer(r"[\[{\]}]", text):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _check_aliases(root: yaml.Node) -> None:
    """Refuse values that contain themselves, and too many values with all aliases expanded."""
    import yaml

    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if (counted := counts.get(id(node))) is not None:
            if counted == 0:
                raise yaml.constructor.ConstructorError(None, None, "values that contain themselves", node.start_mark)
            return counted
        counts[id(node)] = 0  # marks a node that is being counted
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
        # PyYAML itself handles keys that are not scalars; << may be repeated.
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value[:80]!r} is repeated in a mapping", key.start_mark
                )
            seen.add((key.tag, key.value))
