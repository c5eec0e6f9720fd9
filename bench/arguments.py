"""What the words of a command line mean, before Hydra sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .config import suggest
from .types import UserError


def own_settings(arguments: list[str], known: set[str]) -> tuple[dict[str, str], list[str]]:
    """A verb's own settings (`format=md`, `--format md`, `--format=md`, a bare `--measure` is true), and the others."""
    own: dict[str, str] = {}
    others: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if name not in known:
            others.append(word)
        elif equals or not word.startswith("--"):
            own[name] = value
        else:
            own[name] = rest.pop(0) if rest and "=" not in rest[0] and not rest[0].startswith("--") else "true"
    return own, others


def flags_and_settings(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values (`-m`, `--config-dir DIR`), and the settings, wherever they stood."""
    flags: list[str] = []
    settings: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            settings.append(word)
            continue
        flags.append(word)
        alone = word in ("-m", "--multirun", "--help", "-h", "--resolve") or "=" in word
        if not alone and rest and "=" not in rest[0] and not rest[0].startswith("-"):
            flags.append(rest.pop(0))
    return flags, settings


def take_step(verb: str, steps: dict[str, Callable[[list[str]], int]], use: str, arguments: list[str]) -> int:
    """Do the step of a verb that the first word names, `list` where none is named. use: what --help prints.

    Returns the exit code. Raises UserError for an unknown step.
    """
    step, rest = (arguments[0], arguments[1:]) if arguments and "=" not in arguments[0] else ("list", arguments)
    if step in ("-h", "--help", "help"):
        print(use, end="")
        return 0
    if step not in steps:
        raise UserError(f"lamscope {verb} knows {', '.join(steps)}, not '{step}'.{suggest(step, list(steps))}")
    return steps[step](rest)
