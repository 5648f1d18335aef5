"""argparse with suggestions: a mistyped command, option or choice is answered with the nearest one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from adept_hub.words.spelling import did_you_mean


class Parser(argparse.ArgumentParser):
    """An ArgumentParser, and so are its commands' (``add_subparsers`` takes the class of its owner)."""

    _given: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # typeshed has it as three overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and refuse what is left over here: in a command's own parser, which knows its options."""
        self._given = args or ()
        parsed, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """End with status 2, the message, and what a mistyped option may have meant.

        A mistyped option that is required is reported as missing, hence a suggestion with every message.
        """
        known = self._option_string_actions
        options = [word.partition("=")[0] for word in self._given if word.startswith("--") and len(word) > 2]
        unknown = [option for option in options if not any(name.startswith(option) for name in known)]
        hints = "".join(f". There is no {option}.{hint}" for option in unknown if (hint := did_you_mean(option, known)))
        super().error(f"{message}{hints}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write help and versions like every other output: argparse drops the error of a full disk."""
        if message:
            (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            hint = did_you_mean(value, known)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}.{hint} Choose from {', '.join(known)}")
