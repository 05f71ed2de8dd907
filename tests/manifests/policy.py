"""Rules for the manifests beyond their schemas; each names a mistake that is easily made.

A rule is a function that gives a sentence for each thing that breaks it. `check` runs all that apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.manifests.resources import Manifests

Rule = Callable[[Manifests], Iterator[str]]
RULES: dict[str, Rule] = {}


@dataclass(frozen=True)
class Violation:
    """A broken rule, and where."""

    rule: str
    sentence: str

    def __str__(self) -> str:
        """Say both."""
        return f"{self.rule}: {self.sentence}"


def rule(function: Rule) -> Rule:
    """Take a function among the rules, under its name."""
    RULES[function.__name__.replace("_", "-")] = function
    return function


def check(manifests: Manifests) -> list[Violation]:
    """Return everything that breaks a rule."""
    # Imported here, since they import `rule` from here.
    from tests.manifests import policy_jobs, policy_pods, policy_service  # noqa: F401

    return [Violation(name, sentence) for name, function in RULES.items() for sentence in function(manifests)]
