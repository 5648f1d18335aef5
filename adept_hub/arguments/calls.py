"""Check the options of public calls: names against the signature, values against its type hints.

Python accepts any keyword if a signature ends in ``**options``, and never checks types. `checked` reads both from the
hints, so that there is no second list to maintain: ``**options: Unpack[SomeTypedDict]`` declares the options that a
call passes on. Iterables are converted to tuples once, so that a generator can be passed for a tuple.

`adept list` needs this module and must start fast, so it does not import ``inspect``.
"""

from __future__ import annotations

import functools
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

from adept_hub.errors import OptionTypeError, UnknownOptionError
from adept_hub.words.spelling import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

#: Hints whose values are converted to tuples. An array is iterable too, but is left as it is.
_SEVERAL = (Iterable, Collection, Sequence)
_VAR_POSITIONAL, _VAR_KEYWORD = 0x04, 0x08  # inspect.CO_VARARGS, CO_VARKEYWORDS
_DECIDED = "The checkpoint determines it; with another one the pre-trained weights would not work."
#: Options of torchvision and other libraries that build a detector, and their replacement here.
_ELSEWHERE = {
    "device": "Move the model afterwards: model.to('cuda')",
    "dtype": "Convert the model afterwards: model.to(dtype)",
    "map_location": "Weights are loaded on the CPU; move the model afterwards: model.to('cuda')",
    "pretrained": "It always loads weights; to build without them: create_model(NAME, pretrained=False)",
    "strict": "Loading is always strict; load fewer parts with parts=('backbone', 'fpn')",
    "weights": "The first argument selects them: a name, hf-hub:org/repo or a checkpoint folder",
    "weights_backbone": "The first argument selects all weights; load fewer parts with parts='backbone'",
    **dict.fromkeys(("image_mean", "image_std", "rpn_anchor_generator", "rpn_head", "box_roi_pool"), _DECIDED),
    **dict.fromkeys(("box_head", "box_predictor", "mask_roi_pool", "mask_head", "mask_predictor"), _DECIDED),
}


class _Signature(NamedTuple):
    """A call's parameters: its ``own``, in order, and the ``options`` that it passes on."""

    name: str
    positional: tuple[str, ...]
    own: tuple[str, ...]
    required: frozenset[str]
    options: Mapping[str, Any]
    hints: Mapping[str, Any]


def checked(call: Callable[P, R]) -> Callable[P, R]:
    """Refuse unknown options and values of the wrong type before ``call`` runs; convert iterables to tuples.

    The wrapper raises `UnknownOptionError` and `OptionTypeError`, which are also TypeErrors.
    """

    @functools.wraps(call)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        signature = _signature(call)
        _check_names(signature, args, kwargs)
        hints = signature.hints
        values = [_value(signature.name, name, hints, v) for name, v in zip(signature.positional, args, strict=False)]
        named = {name: _value(signature.name, name, hints, value) for name, value in kwargs.items()}
        return call(*values, **named)

    return wrapper


def known_options(call: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of all options of a checked call."""
    signature = _signature(call)
    return (*signature.own, *signature.options)


@functools.cache
def _signature(call: Callable[..., Any]) -> _Signature:
    while hasattr(call, "__wrapped__"):  # other decorators accept any argument
        call = call.__wrapped__
    code = call.__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    positional = own[: code.co_argcount]
    if code.co_flags & _VAR_POSITIONAL:
        raise TypeError(f"{call.__qualname__} takes *args, which `checked` cannot name")
    defaults = {*positional[code.co_argcount - len(call.__defaults__ or ()) :], *(call.__kwdefaults__ or {})}
    options: Mapping[str, Any] = {}
    if code.co_flags & _VAR_KEYWORD:
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
        declared = typing.get_args(_resolve(call, rest))
        if not declared:
            raise TypeError(f"{call.__qualname__}: annotate **{rest} as Unpack[SomeTypedDict]")
        options = typing.get_type_hints(declared[0])
    hints = {name: _resolve(call, name) for name in own if name in call.__annotations__}
    name = call.__qualname__.removesuffix(".__init__")
    return _Signature(name, positional, own, frozenset(own) - defaults, options, {**hints, **options})


def _resolve(call: Callable[..., Any], name: str) -> Any:
    """Resolve the hint of one parameter; the return hint is skipped, since it may need more imports."""

    def holder() -> None: ...

    holder.__annotations__ = {name: call.__annotations__[name]}
    return typing.get_type_hints(holder, globalns=call.__globals__)[name]


def _check_names(signature: _Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    options = (*signature.own, *signature.options)
    if unknown := [name for name in kwargs if name not in options]:
        raise UnknownOptionError("\n".join(_unknown(signature, name) for name in unknown[:3]))
    if len(args) > len(signature.positional):
        after = ", ".join(name for name in signature.own if name not in signature.positional)
        raise OptionTypeError(
            f"{signature.name}() takes {len(signature.positional)} positional arguments, not {len(args)}.\n"
            f"Keyword arguments: {after or 'none'}."
        )
    given = {*signature.positional[: len(args)], *kwargs}
    if twice := [name for name in signature.positional[: len(args)] if name in kwargs]:
        raise OptionTypeError(f"{signature.name}() got {twice[0]!r} twice: by position and by keyword.")
    if missing := [name for name in signature.own if name in signature.required and name not in given]:
        raise OptionTypeError(f"{signature.name}() needs {', '.join(map(repr, missing))}.")


def _unknown(signature: _Signature, name: str) -> str:
    options = [option for option in (*signature.own, *signature.options) if option != "self"]
    what = f"{signature.name}() has no option {name[:100]!r}."
    if "min_size" in options and name in _ELSEWHERE:  # a call that builds a detector
        return f"{what} {_ELSEWHERE[name]}"
    if hint := did_you_mean(name, options):
        return what + hint
    own = [option for option in signature.own if option != "self"]
    more = f", and {len(signature.options)} more that its documentation lists" if signature.options else ""
    return f"{what} Its options: {', '.join(own)}{more}."


def _value(call: str, name: str, hints: Mapping[str, Any], value: Any) -> Any:
    if name not in hints:
        return value
    try:
        return _conform(hints[name], value)
    except _Mismatch:
        pass
    expected = _described(hints[name])
    if isinstance(value, (str, bytes)) and "a list of " in expected and "str" not in expected.split(" or "):
        remedy = f"\nWrite {name}=[{value!r}]."
    else:
        remedy = _typed_remedy(hints[name], name, value)
    quoted = " ".join(repr(value).split())
    quoted = quoted if len(quoted) <= 80 else f"{quoted[:77]}..."
    raise OptionTypeError(f"{call}({name}={quoted}) is {_article(type(value).__name__)}; it takes {expected}.{remedy}")


def _typed_remedy(hint: Any, name: str, value: Any) -> str:
    """Suggest the value without quotes if only the quotes are wrong."""
    if not isinstance(value, str):
        return ""
    for kind in (int, float):
        try:
            return f"\nWrite {name}={_conform(hint, kind(value))!r}."
        except (ValueError, _Mismatch):
            continue
    plain = {"true": True, "false": False, "none": None}.get(value.lower(), value)
    try:
        return f"\nWrite {name}={_conform(hint, plain)!r}." if plain is not value else ""
    except _Mismatch:
        return ""


class _Mismatch(Exception):  # noqa: N818  # never leaves this module
    pass


def _conform(hint: Any, value: Any) -> Any:
    """Return the value as its hint requires, iterables as tuples.

    Raises:
        _Mismatch: the value has another type.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object or isinstance(hint, TypeVar):
        return value
    if origin in (typing.Union, types.UnionType):
        return _conform_any(args, value)
    if origin is Literal:
        # Only the type: the call itself checks the choice, with a more specific error.
        return _require(isinstance(value, tuple({type(arg) for arg in args})), value)
    if hint is None or hint is type(None):
        return _require(value is None, value)
    if hint in (int, float):
        return _number(hint, value)
    if origin is tuple:
        return _tuple(args, value)
    if origin is not None and issubclass(origin, Mapping):
        return _require(isinstance(value, Mapping), value)
    if origin in _SEVERAL:
        _require(isinstance(value, Iterable) and not isinstance(value, (str, bytes)), value)
        return tuple(_conform(args[0], item) for item in value)
    if origin is not None and issubclass(origin, os.PathLike):
        return _require(isinstance(value, os.PathLike), value)
    kind = origin or hint
    if kind is Callable:
        return _require(callable(value), value)
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False) or kind.__module__ == "typing":
        return value  # a protocol or TextIO, which isinstance cannot check
    return _require(isinstance(value, kind), value)


def _conform_any(hints: tuple[Any, ...], value: Any) -> Any:
    for hint in hints:
        try:
            return _conform(hint, value)
        except _Mismatch:
            continue
    raise _Mismatch


def _require(fits: bool, value: Any) -> Any:
    if not fits:
        raise _Mismatch
    return value


def _number(kind: type[int] | type[float], value: Any) -> Any:
    from numbers import Integral, Real

    abstract = Integral if kind is int else Real
    _require(isinstance(value, abstract) and not isinstance(value, bool), value)
    return int(value) if kind is int else value  # NumPy's integers too


def _tuple(args: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    _require(isinstance(value, (list, tuple)), value)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_conform(args[0], item) for item in value)
    _require(len(args) == len(value), value)
    return tuple(_conform(arg, item) for arg, item in zip(args, value, strict=True))


def _described(hint: Any) -> str:
    """Describe a hint in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_described(arg) for arg in args))
    if origin is Literal:
        return " or ".join(repr(arg) for arg in args)
    if hint is None or hint is type(None):
        return "None"
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return f"{len(args)} values ({', '.join(_described(arg) for arg in args)})"
    if origin is not None and issubclass(origin, os.PathLike):
        return "a path"
    if origin in (*_SEVERAL, tuple):
        return f"a list of {_described(args[0])}"
    return str(getattr(origin or hint, "__name__", hint))


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
