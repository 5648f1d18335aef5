"""An argument parser that suggests the closest command, option or choice for a mistyped one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from adept_hub.words.spelling import did_you_mean


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with suggestions; ``add_subparsers`` uses the same class for the commands."""

    _given: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # typeshed has it as three overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and refuse unknown arguments in the command's own parser, which can suggest its options."""
        self._given = args or ()
        parsed, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """Exit with status 2, the message, and suggestions for mistyped options.

        A mistyped required option is reported as missing, hence suggestions with every message.
        """
        known = self._option_string_actions
        options = [word.partition("=")[0] for word in self._given if word.startswith("--") and len(word) > 2]
        unknown = [option for option in options if not any(name.startswith(option) for name in known)]
        hints = "".join(f". There is no {option}.{hint}" for option in unknown if (hint := did_you_mean(option, known)))
        super().error(f"{message}{hints}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write help and versions like all other output, since argparse ignores the error of a full disk."""
        if message:
            (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            hint = did_you_mean(value, known)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}.{hint} Choose from {', '.join(known)}")
