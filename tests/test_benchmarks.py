"""The published figures: the page and the README's table are what the result files say."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.results_file import BenchmarkResult, Figure, add_json_flag, read_results, write_result


def test_the_page_and_the_readme_are_up_to_date() -> None:
    results = read_results()
    assert page.PAGE.read_text(encoding="utf-8") == page.page(results), "python -m benchmarks.page"
    readme = page.README.read_text(encoding="utf-8")
    assert readme == page.readme(readme, results), "python -m benchmarks.page"


def test_every_result_is_on_the_page() -> None:
    assert sorted(name for names in page.SECTIONS.values() for name in names) == sorted(read_results())


@pytest.mark.parametrize(
    ("figure", "shown", "short"),
    [
        (Figure(name="a", unit="s", values=[32.6, 35.5], runs=6), "32.6 to 35.5 s (6 runs)", "32.6 to 35.5 s"),
        (Figure(name="a", unit="ms", values=[1.3, 1.2]), "1.3, 1.2 ms", "1.2 to 1.3 ms"),
        (Figure(name="a", unit="s", values=[581]), "9 min 41 s", "9 min 41 s"),
        (Figure(name="a", unit="rows/s", values=[41_500]), "41,500 rows/s", "41,500 rows/s"),
        (
            Figure(name="a", unit="", values=[0.9], interval=(0.885, 0.942)),
            "0.900 [0.885, 0.942]",
            "0.900 [0.885, 0.942]",
        ),
    ],
)
def test_how_a_figure_is_shown(figure: Figure, shown: str, short: str) -> None:
    assert page.shown(figure) == shown
    assert page.short(figure) == short


def test_a_benchmark_writes_a_result_that_can_be_read_back(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_json_flag(parser)
    file = parser.parse_args(["--json", str(tmp_path / "mine.json")]).json
    figures = [Figure(name="speed", unit="pairs/s", values=[1.0, 2.0])]
    write_result(file, "How fast it is", figures)
    result = read_results(tmp_path)["mine"]
    assert isinstance(result, BenchmarkResult)
    assert result.figures == figures
    assert result.versions.keys() >= {"python", "qtr"}
    write_result(None, "Nothing is written without a file", figures)
    assert len(list(tmp_path.iterdir())) == 1
