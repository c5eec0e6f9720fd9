"""Names from outside, as a terminal, a table and a page may show them."""

from __future__ import annotations

from unicodedata import category


def printable(text: str) -> str:
    """The text with what cannot be printed (escapes, controls, bidirectional marks, lone surrogates) written out.

    'a\\x1b[2Jb' → 'a\\\\x1b[2Jb'. Spaces of all widths stay. Applied twice it changes nothing more.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text)
