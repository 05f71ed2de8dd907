"""The colours of the labels, which are the same on the whole report."""

from __future__ import annotations

from spark_jobs.report.run_report import RunReport

_COLOURS = 6


def label_order(report: RunReport, label: str) -> int:
    """Return the position of a label among the labels of the model."""
    labels = report.assessment.info.labels
    return labels.index(label) if label in labels else len(labels)


def label_colour(report: RunReport, label: str) -> str:
    """Return the colour that stands for a label on the whole page."""
    return f"var(--label-{label_order(report, label) % _COLOURS})"
