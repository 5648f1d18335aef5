"""List the small changes of a source file that its tests should notice.

Strings are never changed, and with them docstrings and messages; nor is what only a type checker, a reader or a failed
assertion sees: annotations, decorators, `raise`, `assert`, `__repr__`, `if TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.And: ast.Or, ast.Or: ast.And,
    ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip
#: Swapping these is already the negation of a comparison.
NEGATIONS = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
CALLS = {"min": "max", "maximum": "minimum", "argmax": "argmin", "any": "all", "floor": "ceil", "zeros": "ones"}
CALLS |= {swapped: name for name, swapped in CALLS.items()}
#: Arguments that guard or describe, and calls that only report.
UNSEEN_ARGUMENTS = frozenset({"strict", "repr", "compare"})
REPORTS = frozenset({"print", "debug", "info", "warning", "warn", "log"})
UNSEEN_FIELDS = frozenset({"annotation", "returns", "decorator_list", "type_comment"})


class Mutation(NamedTuple):
    """A change of one location: the bytes from `start` to `end` of the source become `text`."""

    line: int
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """Return the changed source."""
        raw = source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()


def mutations(source: str) -> list[Mutation]:
    """Return every mutation of a source file, in the order of the lines."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    changes = {
        Mutation(node.lineno, starts[node.lineno - 1] + node.col_offset, starts[last - 1] + node.end_col_offset, text)
        for node, text in _walk(ast.parse(source))
        if (last := node.end_lineno)
    }
    return sorted(changes)


def _walk(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield each node to be replaced and its replacement."""
    if _unseen(node):
        return
    yield from _changes(node)
    for name, value in ast.iter_fields(node):
        if name not in UNSEEN_FIELDS:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)


def _unseen(node: ast.AST) -> bool:
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr():
            return True
        case ast.FunctionDef(name=name):
            return name in ("__repr__", "__str__")
        case ast.keyword(arg=name):
            return name in UNSEEN_ARGUMENTS
        case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name in REPORTS
        case ast.If(test=test):
            return ast.unparse(test).startswith(("TYPE_CHECKING", "__name__"))
    return False


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(ops=operators):
            for i, operator in enumerate(operators):
                swapped = copy.deepcopy(node)
                swapped.ops[i] = SWAPS[type(operator)]()
                yield node, f"({ast.unparse(swapped)})"
        case ast.BinOp(op=operator) if type(operator) in SWAPS and not _joins_text(node):
            yield node, f"({ast.unparse(ast.BinOp(node.left, SWAPS[type(operator)](), node.right))})"
        case ast.AugAssign(op=operator) if type(operator) in SWAPS:
            yield node, ast.unparse(ast.AugAssign(node.target, SWAPS[type(operator)](), node.value))
        case ast.BoolOp(op=operator):
            yield node, f"({ast.unparse(ast.BoolOp(SWAPS[type(operator)](), node.values))})"
        case ast.Break() | ast.Continue():
            yield node, ast.unparse(SWAPS[type(node)]())
        case ast.UnaryOp(op=ast.Not()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value)):
            yield from ((node, str(value + 1)), (node, str(value - 1)))
        case ast.Constant(value=float(value)):
            yield node, str(2 * value or 1.0)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CALLS:
            swapped = copy.deepcopy(node.func)
            setattr(swapped, "id" if isinstance(swapped, ast.Name) else "attr", CALLS[name])
            yield node.func, ast.unparse(swapped)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, "return None"
        case ast.Expr(value=ast.Call()):
            yield node, "pass"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield from _negated(test)
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield from _negated(test)


def _negated(test: ast.expr) -> Iterator[tuple[ast.AST, str]]:
    is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    if not (is_not or (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], NEGATIONS))):
        yield test, f"(not ({ast.unparse(test)}))"


def _joins_text(node: ast.BinOp) -> bool:
    """Check for parts of a path or a message: an error of type is not worth a run."""
    ends = (node.left, node.right)
    return any(isinstance(end, ast.JoinedStr) or isinstance(getattr(end, "value", None), str) for end in ends)
