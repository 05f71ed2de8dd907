"""Reading `/metrics` as Prometheus does."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one scrape.

    Attributes
    ----------
    families
        Names as `# TYPE` lines give them, but with the `_total` of counters.
    samples
        Sample name to its series: labels as a sorted tuple of pairs, and the value.
    """

    families: frozenset[str]
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = field(repr=False)

    def value(self, name: str, /, **labels: str) -> float:
        """Return the one series that has these labels among its own."""
        [found] = self.values(name, **labels)
        return found

    def values(self, name: str, /, **labels: str) -> list[float]:
        series = self.samples.get(name, {})
        return [value for names, value in series.items() if labels.items() <= dict(names).items()]


def read_metrics(address: str | None) -> Scrape:
    """Scrape `http://{address}/metrics`."""
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        return parse(response.read().decode())


def parse(text: str) -> Scrape:
    families = set()
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        families.add(f"{family.name}_total" if family.type == "counter" else family.name)
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return Scrape(frozenset(families), samples)
