"""What the jobs of one command left behind: results, failures, and the command that repeats those."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .arguments import flags_and_settings


@dataclass(frozen=True)
class Failure:
    """A job without a result. settings: its overrides. mistake: the user can mend it; else something broke."""

    settings: tuple[str, ...]
    reason: str
    mistake: bool


@dataclass
class Jobs:
    """config: of the last job that could be read. results: of the jobs that are done. pattern: the networks are those
    that fit one, such as glob(*_lite); of these, a job of one that nobody has trained is left out and is no failure."""

    config: Any = None
    results: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pattern: bool = False
    left_out: list[Failure] = field(default_factory=list)

    def take(self, settings: Iterable[str], config: Any, outcome: Any) -> Failure | None:
        """Keep what came of a job: an `Outcome` of `launch`. settings: its overrides. config: None where it has none.

        Returns the failure, if it is one, to be told: a mistake that an earlier job met too is not told twice.
        """
        self.config = config or self.config
        if outcome.ok:
            self.results.append(outcome.result)
            return None
        reason = outcome.failure if outcome.mistake is None else outcome.mistake
        left_out = self.pattern and outcome.untrained
        reason = f"{dict(_pairs(settings)).get('model')} is left out: it has no weights yet." if left_out else reason
        failure = Failure(tuple(settings), " ".join(reason.split()), outcome.mistake is not None)
        known = failure.mistake and failure.reason in {one.reason for one in self.failures}
        (self.left_out if left_out else self.failures).append(failure)
        return None if known else failure

    @property
    def exit_code(self) -> int:
        """0 all done, 2 the user can mend all that failed, or all was left out; 1 something failed unexpectedly."""
        if not self.failures:
            return 2 if self.left_out and not self.results else 0
        return 2 if all(failure.mistake for failure in self.failures) else 1

    def summary(self, verb: Iterable[str], arguments: Iterable[str]) -> list[str]:
        """Which jobs of a sweep failed, why, and the commands that run just those; nothing for a single job, nor where
        one mistake, told already, kept all of them from running. And which networks were left out.

        verb: the words of the command before its settings. arguments: its settings, of which those that are Hydra's
        (a launcher, a folder of configurations) go into the new command too.
        """
        total = len(self.results) + len(self.failures)
        if total < 2 or not self.failures:
            return self._said_of_left_out()
        if not self.results and all(one.mistake and one.reason == self.failures[0].reason for one in self.failures):
            return self._said_of_left_out()
        told = [dict(_pairs(failure.settings)) for failure in self.failures]
        varied = [key for key in told[0] if len({one.get(key) for one in told}) > 1] or [*told[0]][:1]
        lines = [f"{len(told)} of {total} jobs failed:"]
        for failure, one in zip(self.failures, told, strict=True):
            name = " ".join(f"{key}={one[key]}" for key in varied if key in one)
            lines.append(f"  {name}: {failure.reason}")
        lines.append("To run just these again:")
        repeat = commands(["lamscope", *verb], hydras(arguments), [failure.settings for failure in self.failures])
        return lines + [f"  {command}" for command in repeat] + self._said_of_left_out()

    def _said_of_left_out(self) -> list[str]:
        names = list(dict.fromkeys(dict(_pairs(one.settings))["model"] for one in self.left_out))
        if not names:
            return []
        return [
            f"Left out, without weights yet ({len(names)}): {', '.join(names)}.",
            "`lamscope train model=NAME …` makes them, model.weights=FILE names them.",
        ]


def commands(start: list[str], also: list[str], jobs: list[tuple[str, ...]]) -> list[str]:
    """Shell commands that run just these jobs: one sweep where they are a product of settings, else one each.

    start: the words before -m. also: those after it, which every job shares.
    """
    told = [dict(_pairs(settings)) for settings in jobs]
    keys = [*told[0]]
    if len(jobs) > 1 and all([*one] == keys for one in told):
        values = {key: list(dict.fromkeys(one[key] for one in told)) for key in keys}
        if math.prod(map(len, values.values())) == len(jobs):
            return [shlex.join([*start, "-m", *also, *(_setting(key, ",".join(values[key])) for key in keys)])]
    return [shlex.join([*start, *also, *settings]) for settings in jobs]


def hydras(arguments: Iterable[str]) -> list[str]:
    """Of a command's arguments those that are Hydra's own: --config-dir and its like, hydra.…=…, hydra/launcher=…."""
    flags, settings = flags_and_settings(arguments)
    own = [one for one in settings if one.lstrip("+~").startswith(("hydra.", "hydra/"))]
    return [
        *(flag for flag in flags if flag not in ("-m", "--multirun")),
        *(one for one in own if not one.startswith("hydra.mode")),
    ]


def _pairs(settings: Iterable[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (setting.partition("=") for setting in settings)]


def _setting(key: str, value: str) -> str:
    return key if key.startswith("~") and not value else f"{key}={value}"
