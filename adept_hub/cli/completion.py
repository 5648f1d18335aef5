"""Implement ``adept completion``: scripts for shells, from the parsers of all commands: a TAB starts no Python."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from adept_hub.errors import MissingExtraError
from adept_hub.names import LAYOUTS

#: What a source may begin with; a path follows, or a repository.
SOURCES = ("hf-hub:", "local-dir:", *(f"{layout}:" for layout in LAYOUTS))

DESCRIPTION = """\
Print a script that completes adept's commands, options and values. Write it where your shell looks for it, once:

  adept completion bash > ~/.local/share/bash-completion/completions/adept
  adept completion zsh > ~/.zfunc/_adept                # in ~/.zshrc: fpath=(~/.zfunc $fpath); compinit
  adept completion fish > ~/.config/fish/completions/adept.fish
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def run(args: argparse.Namespace) -> int:
    """Print the script; return 0."""
    from adept_hub.cli.main import build_parser, commands

    sys.stdout.write(SCRIPTS[args.shell](describe(build_parser, commands())))
    return 0


@dataclass(frozen=True)
class Option:
    """An option: its names, whether a value follows, the values to choose from (none: any, also a path)."""

    names: tuple[str, ...]
    takes_value: bool
    values: tuple[str, ...]
    help: str
    #: The value is a source: one of `SOURCES` and what follows it, or a path.
    is_source: bool = False


@dataclass(frozen=True)
class Level:
    """What may follow the words of a command: ``("data", "check")``; ``()`` is ``adept`` itself."""

    words: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    #: Choices of the first positional argument; commands and verbs among them.
    values: tuple[str, ...]
    #: A positional argument is a source.
    is_source: bool = False

    @property
    def path(self) -> str:
        """The words, joined."""
        return " ".join(self.words)


def describe(build: Callable[[str | None], argparse.ArgumentParser], commands: Mapping[str, object]) -> list[Level]:
    """Describe ``adept`` and all of its commands and verbs.

    Args:
        build: `adept_hub.cli.main.build_parser`, which declares the arguments of one command.
        commands: by name. One whose extra is not installed is completed by its name only.
    """
    levels = [_level((), build(None))]
    for name in commands:
        try:
            parser = build(name)
        except MissingExtraError:
            continue
        (child,) = [sub.choices[name] for sub in _verbs(parser)]
        levels += _levels((name,), child)
    return levels


def _levels(words: tuple[str, ...], parser: argparse.ArgumentParser) -> Iterable[Level]:
    yield _level(words, parser)
    for verbs in _verbs(parser):
        for name, child in verbs.choices.items():
            yield from _levels((*words, name), child)


def _level(words: tuple[str, ...], parser: argparse.ArgumentParser) -> Level:
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS or _is_verbs(action)]
    formatter = parser._get_formatter()
    options = [
        Option(
            tuple(action.option_strings), action.nargs != 0, _choices(action), formatter._expand_help(action),
            _is_source(action),
        )
        for action in shown if action.option_strings
    ]  # fmt: skip
    positional = [action for action in shown if not action.option_strings]
    summary = (parser.description or "").partition("\n")[0]
    values = _choices(positional[0]) if positional else ()
    return Level(words, summary, tuple(options), values, any(map(_is_source, positional)))


def _choices(action: argparse.Action) -> tuple[str, ...]:
    return LAYOUTS if "--layout" in action.option_strings else tuple(map(str, action.choices or ()))


def _is_source(action: argparse.Action) -> bool:
    named = action.metavar if isinstance(action.metavar, str) else ""
    return action.nargs != 0 and ("SOURCE" in named or "LAYOUT:FILE" in (action.help or ""))


def _is_verbs(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _verbs(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


_BASH = """\
# Completion for bash, written by: adept completion bash
_adept() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} level="" i
    COMPREPLY=()
    # an option, = and its value arrive as three words
    if [[ $cur == "=" ]]; then cur=""; elif [[ $prev == "=" ]]; then prev=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    # so do a layout, : and its file
    if [[ $cur == ":" || $prev == ":" ]]; then return; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${{level:+$level }}${{COMP_WORDS[i]}}" in
            {known}) level="${{level:+$level }}${{COMP_WORDS[i]}}" ;;
        esac
    done
    case "$level:$prev" in
{choices}
        {free}) return ;;
    esac
    case "$level" in
{levels}
    esac
}}
_adept_source() {{
    local IFS=$'\\n' path
    COMPREPLY=($(compgen -W {sources} -- "$1"))
    # without a layout that fits, paths are left to the shell, which completes them better
    if ((${{#COMPREPLY[@]}} == 0)); then return; fi
    # a loop over $(compgen) would match names such as a[1].pth against other files
    while read -r path; do
        if [[ -d $path ]]; then path+=/; fi
        COMPREPLY+=("$(printf %q "$path")")
    done < <(compgen -f -- "$1")
    if type compopt &> /dev/null; then compopt -o nospace 2> /dev/null; fi
}}
complete -o default -F _adept adept
"""


def bash(levels: Sequence[Level]) -> str:
    """Return the script for bash: files are completed where no words are known."""
    choices, free, bodies = [], [], []
    for level in levels:
        for option in level.options:
            patterns = [_word(f"{level.path}:{name}") for name in option.names]
            if option.is_source or option.values:
                reply = _REPLY_SOURCES if option.is_source else _reply(option.values)
                choices.append(f"        {'|'.join(patterns)}) {reply}; return ;;")
            elif option.takes_value:
                free += patterns
        names = [name for option in level.options for name in option.names]
        other = _REPLY_SOURCES if level.is_source else _reply(level.values)
        bodies.append(
            f"        {_word(level.path)})\n            if [[ $cur == -* ]]; then {_reply(names)}; else {other}; fi ;;"
        )
    known = "|".join(_word(level.path) for level in levels if level.words)
    return _BASH.format(
        known=known, choices="\n".join(choices), free="|".join(free), levels="\n".join(bodies),
        sources=shlex.quote("\n".join(SOURCES)),
    )  # fmt: skip


_REPLY_SOURCES = '_adept_source "$cur"'


def _reply(words: Iterable[str]) -> str:
    return f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(words))} -- "$cur"))'


def _word(text: str) -> str:
    return f'"{text}"'


def zsh(levels: Sequence[Level]) -> str:
    """Return the script for zsh, which runs bash's."""
    return f"#compdef adept\nautoload -U +X bashcompinit && bashcompinit\n{bash(levels)}"


_FISH = """\
# Completion for fish, written by: adept completion fish
function __adept_at
    set -l level
    for word in (commandline -opc)[2..-1]
        contains -- (string join ' ' $level $word) {known}; and set -a level $word
    end
    test "$level" = "$argv"
end
"""


def fish(levels: Sequence[Level]) -> str:
    """Return the script for fish, with the help of every option."""
    helps = {level.path: level.help for level in levels}
    lines = [_FISH.format(known=" ".join(_fish(level.path) for level in levels if level.words))]
    for level in levels:
        start = f"complete -c adept -n {_fish(f'__adept_at {level.path}'.strip())}"
        for value in level.values:
            summary = helps.get(" ".join((*level.words, value)), "")
            lines.append(f"{start} -f -a {_fish(value)} -d {_fish(summary)}\n")
        if level.is_source:
            lines.append(f"{start} -a {_fish(' '.join(SOURCES))}\n")
        for option in level.options:
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            value = f" -x -a {_fish(' '.join(option.values))}" if option.values else " -r" * option.takes_value
            value += f" -a {_fish(' '.join(SOURCES))}" if option.is_source else ""
            lines.append(f"{start} {names}{value} -d {_fish(option.help)}\n")
    return "".join(lines)


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SCRIPTS: Mapping[str, Callable[[Sequence[Level]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
