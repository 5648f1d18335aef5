"""Damage to a valid file, made with its structure in view: one thing replaced, removed, doubled, moved, cut or nested.

Every function takes ``choose``, which picks one of a sequence: ``random.Random(seed).choice``, or Hypothesis's draw
(`tests.hostile.property`), so that what fails is made small.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

Choose = Callable[[Sequence[Any]], Any]

#: Values that are wrong nearly everywhere.
VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-320, float("nan"),
    float("inf"), "", "x", "1", "nan", "\0", "../../etc/passwd", "/etc/passwd", "a" * 10_000, "a\nb\rc", "\x1b[2J\x07",
    "\u202e", "$\\frac{$", "<script>", [], [[]], [0], [-1], [2**63], [1e9] * 50, [None], {}, {"a": 1}, {"": {}},
    "\ud800", {"__reduce__": ["os.system", "id"]}, "__import__('os').system('id')",
    "!!python/object/apply:os.system [id]", "~", "%s%n{0.__class__}", "hf_" + "A" * 34, "https://u:p@127.0.0.1:9/x",
]  # fmt: skip
#: Text that takes the place of one value and is no value of JSON, or none that Python can write.
RAW = [
    "[" * 20_000 + "]" * 20_000, '{"a":' * 20_000 + "1" + "}" * 20_000, "9" * 5000, "-9e999", "1e-999", "NaN",
    "2001-01-01", "!!binary aGk=", "!!set {a, b}", "!!timestamp 9999-99-99", "&a [*a]", "&a {b: *a}", "*nobody",
    "!!python/object/apply:os.system [id]", "{? [1] : 2}", "{<<: {a: 1}}", "0o17", "1:30", "", ",", "}", "\\", "#",
    '"\\ud800"', "'\t'", "0x" + "f" * 5000, "1" + ":00" * 3000, "!!bool x",
    "!!int x", "!!float []", "!<tag:yaml.org,2002:str> 1", "--- a\n--- b\n",
]  # fmt: skip
#: Bytes that are put into a file somewhere.
SPLICES = [
    b"[", b"{", b'"', b"\xff", b"\0", b"9" * 5000, b"[" * 20_000, b"\n", b"\r", b"\x1b[31m", b"\xef\xbb\xbf",
    b"\xff\xfe", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<", b"%", b"-", b"=", b",", b"\0" * 512,
]  # fmt: skip
_RAW, _AGAIN = "\ue000", "\ue001"  # marks in a tree of what `dump` writes in its own way


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in nested values."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += spots(item, (*path, key))
    return found


def mutate_tree(tree: Any, choose: Choose) -> tuple[str, Any]:
    """Nested values with one place changed; what was done, and the result, for `dump`."""
    places = [path for path in spots(tree) if path]
    if not places:
        return "replace all", choose(VALUES)
    tree = copy.deepcopy(tree)
    path = choose(places)
    *parents, last = path
    holder = _at(tree, parents)
    kind = choose(["replace", "retype", "remove", "add", "again", "move", "nest", "raw"])
    if kind == "replace":
        holder[last] = choose(VALUES)
    elif kind == "retype":
        holder[last] = choose([str, lambda v: [v], lambda v: {"x": v}, bool, lambda v: str(v)[:1], _number])(
            holder[last]
        )
    elif kind == "remove":
        del holder[last]
    elif kind == "add" and isinstance(holder, dict):
        holder[f"{last}{choose(['x', '.', '/../x', 'é', chr(27), chr(0xD800)])}"] = holder[last]
    elif kind == "again":
        if isinstance(holder, dict):
            holder[f"{_AGAIN}{last}"] = choose(VALUES[:5])
        else:
            holder.insert(last, copy.deepcopy(holder[last]))
    elif kind == "move":
        holder[last] = copy.deepcopy(_at(tree, choose(places)))
    elif kind == "raw":
        holder[last] = f"{_RAW}{choose(range(len(RAW)))}{_RAW}"
    else:
        for _ in range(choose([1, 20, 500])):
            holder[last] = [holder[last]]
    return f"{kind} {'.'.join(map(str, path))[:80]}", tree


def _number(value: Any) -> float:
    return float(len(str(value)))


def _at(tree: Any, path: Sequence[Any]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def dump(tree: Any) -> bytes:
    """A tree that may have been mutated as JSON, which is YAML too; lone surrogates and names that stand twice stay."""
    text = json.dumps(tree, ensure_ascii=True)
    text = re.sub(r'"\\ue000(\d+)\\ue000"', lambda found: RAW[int(found[1])], text)
    return text.replace("\\ue001", "").encode("utf-8", "surrogatepass")


def mutate_bytes(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """Bytes flipped, cut, taken out, put in, overwritten or repeated."""
    at = choose(range(max(len(content), 1)))
    kind = choose(["flip", "cut", "insert", "drop", "overwrite", "repeat", "move"])
    if kind == "flip":
        flipped = bytes([content[at] ^ 1 << choose(range(8))]) if content else b""
        return f"flip {at}", content[:at] + flipped + content[at + 1 :]
    if kind == "cut":
        return f"cut {at}", content[:at]
    if kind == "insert":
        return f"insert {at}", content[:at] + choose(SPLICES) + content[at:]
    if kind == "drop":
        return f"drop {at}", content[:at] + content[at + choose([1, 2, 8, 100]) :]
    if kind == "overwrite":
        new = choose([b"\xff", b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8, *SPLICES[:6]])
        return f"overwrite {at}", content[:at] + new + content[at + len(new) :]
    if kind == "repeat":
        return f"repeat {at}", content[:at] * choose([2, 50]) if len(content) < 1 << 16 else content + content[:at]
    other, length = choose(range(max(len(content), 1))), choose([1, 8, 100])
    return f"move {other} to {at}", content[:at] + content[other : other + length] + content[at:]


def mutate_json(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """JSON whose tree was changed in one or two places, or its bytes."""
    if choose([True, True, True, False]):
        done, tree = mutate_tree(json.loads(content), choose)
        if choose([False, False, True]):
            more, tree = mutate_tree(tree, choose)
            done += f", {more}"
        return done, dump(tree)
    return mutate_bytes(content, choose)


def mutate_lines(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """Lines of JSON or text, of which one is changed, removed, doubled or moved."""
    lines = content.split(b"\n")
    at = choose(range(len(lines)))
    kind = choose(["change", "change", "change", "remove", "again", "swap", "bytes"])
    if kind == "change" and lines[at].startswith(b"{"):
        done, lines[at] = mutate_json(lines[at], choose)
    elif kind == "remove":
        done = ""
        del lines[at]
    elif kind == "again":
        done = ""
        lines.insert(at, lines[at])
    elif kind == "swap":
        other = choose(range(len(lines)))
        done = str(other)
        lines[at], lines[other] = lines[other], lines[at]
    else:
        done, lines[at] = mutate_bytes(lines[at], choose)
    return f"line {at}: {kind} {done}", b"\n".join(lines)


def mutate_xml(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """XML of which one element is changed, or its bytes."""
    root = ElementTree.fromstring(content)
    pairs = [(parent, child) for parent in root.iter() for child in parent]
    kind = choose(["text", "remove", "again", "move", "rename", "nest", "bytes"])
    if kind == "bytes" or not pairs:
        return mutate_bytes(content, choose)
    parent, child = choose(pairs)
    if kind == "text":
        texts = [str(v) for v in VALUES if isinstance(v, str | int | float) and len(str(v)) < 500 and v != "\ud800"]
        child.text = choose([*texts, "9" * 4000])
    elif kind == "remove":
        parent.remove(child)
    elif kind == "again":
        parent.append(child)
    elif kind == "move":
        choose(pairs)[1].append(copy.deepcopy(child))
    elif kind == "rename":
        child.tag = choose([c.tag for _, c in pairs])
    else:
        for _ in range(choose([1, 50, 2000])):
            inner = copy.copy(child) if len(child) < 2 else ElementTree.Element("x")
            child[:] = [inner]
            child = inner
    return f"{kind} {child.tag}", _xml(root)


def _xml(root: ElementTree.Element) -> bytes:
    try:
        return ElementTree.tostring(root, "utf-8")
    except RecursionError:
        return b"<a>" * 20_000 + b"</a>" * 20_000


def mutate_safetensors(content: bytes, choose: Choose) -> tuple[str, bytes]:
    """A safetensors file whose header, its length or its tensors were changed."""
    length = int.from_bytes(content[:8], "little")
    header, tail = content[8 : 8 + length], content[8 + length :]
    kind = choose(["header", "header", "header", "length", "tail", "bytes"])
    if kind == "header":
        done, header = mutate_json(header, choose)
        return f"header: {done}", len(header).to_bytes(8, "little") + header + tail
    if kind == "length":
        length = choose([0, 1, 7, length - 1, length + 1, 2**20, 2**40, 2**63, 2**64 - 1])
        return f"length {length}", length.to_bytes(8, "little") + header + tail
    if kind == "tail":
        return kind, content[: 8 + length] + choose([b"", tail[:-1], tail + b"\0", b"\xff" * len(tail), tail[::-1]])
    return mutate_bytes(content, choose)
