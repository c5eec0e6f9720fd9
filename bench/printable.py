"""Names and errors from outside, as a terminal, a table and a page may show them."""

from __future__ import annotations

import re
from unicodedata import category


def printable(text: str) -> str:
    """The text with what cannot be printed (escapes, controls, bidirectional marks, lone surrogates) written out.

    'a\\x1b[2Jb' → 'a\\\\x1b[2Jb'. Spaces of all widths stay. Applied twice it changes nothing more.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text)


def as_file_name(text: str) -> str:
    """A name as one part of a path: no folders, not hidden, at most 160 characters. Ordinary names stay as they are."""
    return re.sub(r"[/\\\0:]+", "_", printable(text)).lstrip(".")[:160].strip() or "_"


def first_line(error: BaseException) -> str:
    """What an exception says, on one line without a full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip("'\". ")
