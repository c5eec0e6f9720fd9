"""An HTML document of ours: the head that the report's page and the live view have in common, and a body."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import Any


def folder() -> Any:
    """Where HTML, CSS and scripts of the report's page lie, inside the package."""
    return resources.files("lamscope.report") / "page"


def document(title: str, styles: list[str], body: str) -> str:
    """title: after the program's name. styles: addresses of style sheets. body: from <body> to </html>, as it is."""
    links = "\n".join(f'<link rel="stylesheet" href="{address}">' for address in styles)
    head = Template((folder() / "head.html").read_text("utf-8"))
    return head.substitute(title=title, styles=links) + body
