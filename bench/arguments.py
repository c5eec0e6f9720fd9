"""What the words of a command line mean, before Hydra sees them."""

from __future__ import annotations


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
