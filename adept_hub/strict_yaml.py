"""YAML of plain values, never objects, and no name twice in one mapping, of which PyYAML would keep the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml


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

    return yaml.load(text, Loader)  # a SafeLoader


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
