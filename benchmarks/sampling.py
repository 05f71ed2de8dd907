"""Whether a judged sample estimates the whole table: figures of repeated samples against those of all judged rows.

python -m benchmarks.sampling JUDGED [--labels …] [--label-column label] [--where COLUMN=VALUE] [--rows 400]
[--repetitions 100] [--bundle FOLDER] [--json FILE]

All rows of the file are the table. Each repetition draws a sample as `qtr sample` does, with a seed of its own, takes
the judgements of its rows, and measures them as `qtr evaluate` does. Counted is how often the figure of the whole table
lies in the sample's interval.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.results_file import Figure, add_json_flag, write_result
from evaluation.judged_file import JudgedColumns, JudgedPairs, read_judged_file
from evaluation.measures import METRICS, MeasuredTable, measure, ranked_by_model
from evaluation.model_scores import ModelScores, scores_of_bundle
from evaluation.sampling import ScoreHistogram, draw, strata_for
from qtr.judged_settings import numbers_by_label
from relevance_model import Bundle, default_bundle_path

MEASURED = ("precision", "recall", "auc")
CONFIDENCE = 0.95
MODEL = "model"


def table_of(judged: JudgedPairs, model: ModelScores, *, resamples: int, seed: int) -> MeasuredTable:
    """Return the metrics of some rows."""
    return measure(judged, [ranked_by_model(model, MODEL)], resamples=resamples, confidence=CONFIDENCE, seed=seed)


def main() -> None:
    """Draw, measure, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judged", type=Path)
    parser.add_argument("--labels", default="", help="what the labels mean, as for qtr evaluate")
    parser.add_argument("--label-column", default="label")
    parser.add_argument("--where", default="", metavar="COLUMN=VALUE", help="only the rows with this value")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--bundle", type=Path, default=default_bundle_path())
    add_json_flag(parser)
    arguments = parser.parse_args()
    column, _, value = arguments.where.partition("=")
    columns = JudgedColumns(
        label=arguments.label_column,
        labels=numbers_by_label(arguments.labels),
        kept=(column,) if column else (),
    )
    judged = read_judged_file(arguments.judged, columns)
    if column:
        judged = judged.take(np.flatnonzero(np.array(judged.columns[column]) == value))
    model = scores_of_bundle(Bundle.load(arguments.bundle), judged.queries, judged.titles)
    whole = table_of(judged, model, resamples=2, seed=0)
    histogram = ScoreHistogram()
    histogram.add(model.scores)
    strata = strata_for(histogram, arguments.rows)
    inside = dict.fromkeys(MEASURED, 0)
    estimates: dict[str, list[float]] = {name: [] for name in MEASURED}
    for seed in range(arguments.repetitions):
        (rows,), (shares,) = draw(strata, [model.scores], np.random.default_rng(seed))
        sample = replace(judged.take(rows), weights=1.0 / shares, sample="random")
        table = table_of(sample, model.take(rows), resamples=arguments.resamples, seed=seed)
        for name in MEASURED:
            true, found = whole.draws[MODEL, name].value, table.interval(MODEL, name)
            if found is not None:
                inside[name] += found.low <= true <= found.high
                estimates[name].append(found.value)
    figures = []
    for name in MEASURED:
        true = whole.draws[MODEL, name].value
        mean, spread = float(np.mean(estimates[name])), float(np.std(estimates[name]))
        print(
            f"{METRICS[name]}: {true:.3f} in {len(judged):,} rows; samples of {arguments.rows} give {mean:.3f} "
            f"± {spread:.3f}; in the interval {inside[name]} of {arguments.repetitions} times"
        )
        figures.append(Figure(name=f"{METRICS[name]} of all rows", values=[round(true, 3)], unit=""))
        figures.append(Figure(name=f"{METRICS[name]}, mean of the samples", values=[round(mean, 3)], unit=""))
        figures.append(
            Figure(
                name=f"{METRICS[name]} of all rows in the sample's interval",
                values=[inside[name]],
                unit=f"of {arguments.repetitions} samples",
            )
        )
    what = f"Samples of {arguments.rows} rows of {len(judged):,} judged ones"
    write_result(arguments.json, what, figures)


if __name__ == "__main__":
    main()
