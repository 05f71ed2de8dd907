"""`qtr calibrate`: a bundle with Platt scaling and a threshold for the pairs of one's own shop."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qtr.judged_settings import JudgedSettings
from qtr_runtime.settings import USAGE_ERROR
from qtr_runtime.terminal import escape_control

if TYPE_CHECKING:
    from evaluation.recalibration import Recalibration
    from relevance_model import Bundle

REFUSED = 1


class CalibrateSettings(JudgedSettings):
    """Fits a bundle's Platt scaling and threshold on judged pairs, and writes a new bundle.

    Old and new figures are measured by cross-validation over queries. Nothing is written, and the exit status is 1, if
    the pairs do not bear it: too few queries, one class only, a ranking no better than chance, an aim out of reach.
    """

    prog: ClassVar[str] = "qtr calibrate"

    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    out: Path = Field(description="Folder of the new bundle; it must not exist.")
    aim: str = Field(
        default="f1",
        description="What the threshold is chosen for: f1, the highest F1; precision=0.9, the lowest threshold with "
        "that precision; recall=0.95, the highest with that recall.",
    )
    version: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._+-]{0,62})?$",
        description="Version of the new bundle; if absent, the old one with a digest of the new calibration.",
    )
    json_output: bool = Field(default=False, alias="json", description="Print the figures as JSON instead of a table.")
    resamples: int = Field(default=1000, ge=100, description="Resamples of the bootstrap.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Confidence of the intervals.")
    seed: int = Field(default=0, ge=0, description="Seed of every random choice.")

    @field_validator("aim")
    @classmethod
    def _check_aim(cls, value: str) -> str:
        from evaluation.aims import Aim

        return str(Aim.parse(value))


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, write and print; return the exit status."""
    settings = CalibrateSettings.parse(sys.argv[1:] if argv is None else argv)
    from evaluation.errors import CalibrationError, EvaluationError
    from evaluation.recalibration import write_recalibrated
    from relevance_model import ModelError

    try:
        found = _fit(settings)
        bundle = write_recalibrated(found, settings.out, settings.judged, settings.version)
    except (EvaluationError, ModelError) as error:
        print(f"qtr calibrate: {error}", file=sys.stderr)
        return REFUSED if isinstance(error, CalibrationError) else USAGE_ERROR
    except OSError as error:
        print(f"qtr calibrate: --out: {settings.out} cannot be written ({error.strerror})", file=sys.stderr)
        return USAGE_ERROR
    if settings.json_output:
        print(json.dumps(_numbers(found, bundle)))
    else:
        _print(settings, found, bundle)
    return 0


def _fit(settings: CalibrateSettings) -> Recalibration:
    from evaluation.aims import Aim
    from evaluation.errors import DataError
    from evaluation.judged_file import read_judged_file
    from evaluation.recalibration import recalibrate
    from relevance_model import Bundle, default_bundle_path

    if settings.out.exists():
        raise DataError(f"{settings.out} exists: give the name of a new folder to --out")
    judged = read_judged_file(settings.judged, settings.columns())
    return recalibrate(
        Bundle.load(settings.bundle or default_bundle_path()),
        judged,
        Aim.parse(settings.aim),
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )


def _numbers(found: Recalibration, bundle: Bundle) -> dict[str, object]:
    return {
        "name": bundle.manifest.name,
        "version": bundle.manifest.version,
        "sha256": bundle.sha256,
        "threshold": found.threshold,
        "slope": found.slope,
        "intercept": found.intercept,
        "kept_scaling": found.kept_scaling,
        "aim": str(found.aim),
        "figures": found.as_json(),
    }


def _print(settings: CalibrateSettings, found: Recalibration, bundle: Bundle) -> None:
    from evaluation.recalibration import FIGURES, NEW, OLD

    console, before = Console(), found.bundle.manifest
    table = Table("on other queries than those fitted on")
    for version in (before.version, bundle.manifest.version):
        table.add_column(Text(version), justify="right")
    for name, title in FIGURES.items():
        table.add_row(title, *(str(found.figures[which, name]) for which in (OLD, NEW)))
    table.add_section()
    table.add_row("threshold", f"{before.threshold:.3f}", f"{found.threshold:.3f}")
    table.add_row("slope", f"{before.calibration.slope:.3f}", f"{found.slope:.3f}")
    table.add_row("intercept", f"{before.calibration.intercept:.3f}", f"{found.intercept:.3f}")
    console.print(table)
    lines = [f"{len(found.judged):,} judged pairs, threshold for {found.aim}; wrote {settings.out}"]
    if found.kept_scaling:
        lines.insert(0, "slope and intercept are kept: fitted anew, they gave a higher log loss on other queries")
    for line in lines:
        console.print(Text(escape_control(line)), soft_wrap=True)
    console.print(Text(escape_control(f"next: qtr serve --bundle {settings.out}"), style="dim"), soft_wrap=True)
