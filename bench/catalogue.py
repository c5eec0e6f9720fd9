"""What is known of the zoo's weights: which are here, whether they are the right ones, and where they come from."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import replace

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .config import Config, options, read_model
from .types import UserError
from .weights import find, metadata
from .zoo import weight_folders


def print_weights(config: Config) -> None:
    """One row per model of conf/model; below, the provenance that shipped files carry."""
    folders = weight_folders(config.machine.weights)
    table = Table("model", "file", "here", "trained on", "licence", box=SIMPLE)
    table.columns[1].no_wrap = table.columns[2].no_wrap = True  # a file name is there to be copied
    provenance: dict[str, dict[str, str]] = {}
    for name in options("model"):
        model = read_model(name)
        checkpoint = model.checkpoint
        try:
            path = find(replace(model, weights="auto"), folders)
            here = "shipped" if checkpoint.shipped else "yes"
            if path is not None and metadata(path):
                provenance[name] = metadata(path)
        except UserError as error:
            here = "wrong sha256" if "sha256" in str(error) else "no"
        source = checkpoint.file or "none published"
        table.add_row(name, source, here, checkpoint.training_set or "?", checkpoint.licence or "?")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for name, facts in provenance.items():
        console.print(f"\n[bold]{name}[/bold]")
        for key, value in sorted(facts.items()):
            console.print(f"  {key}: {_short(value)}", soft_wrap=True, highlight=False, markup=False)


def _short(value: str, limit: int = 400) -> str:
    """A metadata string on one line; JSON without its braces' clutter, long credits cut."""
    with suppress(ValueError):
        value = json.dumps(json.loads(value), ensure_ascii=False)
    return value if len(value) <= limit else f"{value[:limit]}… ({len(value)} characters)"
