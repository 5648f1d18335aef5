"""An argument parser whose errors suggest the closest command, option or choice, and show an example."""

from __future__ import annotations

import argparse
import re
import shlex
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
        """Exit with status 2, the message, suggestions for mistyped options, and an example.

        A mistyped required option is reported as missing, hence suggestions with every message. The usage is left out:
        that of a command with many options would hide the message.
        """
        known = self._option_string_actions
        options = [word.partition("=")[0] for word in self._given if word.startswith("--") and len(word) > 2]
        unknown = [option for option in options if not any(name.startswith(option) for name in known)]
        suggested = {option: did_you_mean(option, known) for option in unknown}
        hints = "".join(f". There is no {o}.{hint}" for o, hint in suggested.items() if hint or o not in message)
        hints += self._unnamed(message)
        example = self._example()
        lines = [f"{self.prog}: error: {message}{hints}", *([f"For example: {example}"] if example else [])]
        self.exit(2, "\n".join([*lines, f"All options: {self.prog} --help"]) + "\n")

    def _unnamed(self, message: str) -> str:
        """Return a hint for values that were given without their required options, which are as many."""
        _, found, names = message.partition("are required: ")
        missing = [name.split("/")[-1] for name in names.split(", ")] if found else []
        own = [action for action in self._actions if not action.option_strings]
        first = next((at for at, word in enumerate(self._given) if word.startswith("-")), len(self._given))
        values = list(self._given[len(own) : first])
        if not missing or len(values) != len(missing) or any(action.nargs for action in own):
            return ""
        return f". Did you mean {shlex.join(word for pair in zip(missing, values, strict=True) for word in pair)}?"

    def _example(self) -> str:
        """Return the example of the help that shares most words with what was given; empty if there is none."""
        given = set(self._given)
        return max(self._examples(), key=lambda example: len(given & set(example.split())), default="")

    def _examples(self) -> list[str]:
        """Return the examples of a command's help, or of its verbs'."""
        text = f"{self.description}\n{self.epilog}"
        own = re.findall(rf"^  ({re.escape(self.prog)} .*?)(?: {{2,}}.*| > .*)?$", text, re.MULTILINE)
        verbs = [action.choices.values() for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return own or [example for children in verbs for child in children for example in child._examples()]

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write help and versions like all other output, since argparse ignores the error of a full disk."""
        if message:
            (file or sys.stderr).write(message)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Refuse an empty word, which as a path would be the working directory, where the default is not empty."""
        is_words = isinstance(action, argparse._SubParsersAction)  # all words of a command, which has its own parser
        if not arg_string and action.default != "" and not is_words:
            raise argparse.ArgumentError(action, "empty; a variable of the shell in this command may not be set")
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            hint = did_you_mean(value, known)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}.{hint} Choose from {', '.join(known)}")
