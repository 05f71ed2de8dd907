"""Step `pseudo-label`: each teacher's soft labels of the augmented pairs.

A cross-encoder is written as a bundle and used like every model here: `spark_jobs.label_pairs` starts servers with it
and calls them from Spark. The trees, if the ensemble has them, are computed in this process. `FOLD.parquet` has
`query`, `title`, `origin` and the teacher's `logit`. A fold's teacher labels the judged rows that it was trained on,
and augmented pairs whose query and source query pass the guard of the fold's measured queries.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from distillation.bundle.parity import check_parity
from distillation.data.folds import Fold, JudgedRows, folds_of, read_judged
from distillation.encoder.base_encoder import load_tokenizer
from distillation.errors import LabellingError
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import Context, read_columns, write_columns, write_json
from distillation.recipe.recipe import Encoder
from distillation.teacher.cross_encoder import pair_ids, predict, write_teacher_bundle
from distillation.teacher.ensemble import (
    CROSS_ENCODER,
    TREES,
    combine,
    evaluation_guard,
    fit_trees,
    open_reader,
    pair_features,
    trees_contrast,
)
from distillation.teacher.trees import PairFeatures
from qtr_runtime.json_log import last_error, read_event
from qtr_runtime.own_process import module_command, module_environment
from relevance_model.bundle import MANIFEST

FOLDER: Final = "pseudo-label"
JUDGED: Final = "judged"
# A cross-encoder scores about a hundred pairs a second: small calls and a long deadline.
_JOB_FLAGS: Final = (
    *("--run-date", "2000-01-01", "--log-format", "json", "--exit-on-stdin-close"),
    *("--rows-per-rpc", "64", "--deadline-seconds", "300", "--retry-budget-seconds", "1800"),
)
_LOGIT_BOUND: Final = 12.0
_PROBE_ROWS: Final = 32
# Tolerance of a teacher's logits: differences of this size do not matter for soft labels.
_TEACHER_TOLERANCE: Final = 1e-3
Floats = npt.NDArray[np.float32]


def run(context: Context) -> None:
    """Label for every fold; labels of an earlier run are reused."""
    judged = read_judged(context)
    pairs = read_columns(context.folder("augment") / "pairs.parquet")
    features = pair_features(context) if context.recipe.finetune.trees is not None else None
    counts = {}
    for fold in folds_of(judged):
        path = _labels_file(context, fold)
        if not path.exists():
            _label(context, judged, fold, pairs, features)
        counts[fold.name] = len(read_columns(path, ["origin"])["origin"])
    write_json(context.folder(FOLDER) / "report.json", {"rows": counts})


def label_by_job(
    bundle: Path, queries: Sequence[str], titles: Sequence[str], folder: Path, *, progress: Progress, title: str
) -> Floats:
    """Label pairs with `qtr label` and local servers; return logits, float32 [N], NaN for a row with an error.

    The job's progress is shown under `title`. Its score store stays in `folder` until the labels are read, so that the
    next job reuses the scores of an interrupted one.

    Raises
    ------
    LabellingError
        If the job ends without publishing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, output = folder / "pairs.parquet", folder / "out"
    write_columns(source, {"row": np.arange(len(queries)), "query": list(queries), "title": list(titles)})
    command = module_command("spark_jobs.label_pairs", "--input", str(source), "--output", str(output))
    command += ["--bundle", str(bundle), *_JOB_FLAGS]
    lines: list[str] = []
    with (
        (folder / "stderr").open("w+", encoding="utf-8") as stderr,
        progress.task(title, len(queries), unit="pairs") as task,
        subprocess.Popen(
            command,
            env=module_environment(),
            # A pipe that closes with this process ends the job: a surviving job would hold the folder's lock.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as job,
    ):
        assert job.stdout is not None
        for line in job.stdout:
            lines.append(line)
            event = read_event(line)
            if event.get("msg") == "progress" and event.get("rows_done"):
                task.update(int(event["rows_done"]))
    if job.returncode != 0:
        errors = (folder / "stderr").read_text(encoding="utf-8", errors="replace").strip()
        raise LabellingError(f"labelling with the teacher failed: {last_error([*errors.splitlines(), *lines])}")
    # Read as single files: the partition's date must not become a column.
    table = pa.concat_tables(
        pq.read_table(file, columns=["row", "score"], partitioning=None)
        for file in sorted((output / "labels").rglob("*.parquet"))
    )
    scores = np.full(len(queries), np.nan, dtype=np.float64)
    scores[table["row"].to_numpy()] = table["score"].to_numpy(zero_copy_only=False)
    shutil.rmtree(folder)
    with np.errstate(divide="ignore"):
        logits = np.log(scores) - np.log1p(-scores)
    bounded: Floats = np.clip(logits, -_LOGIT_BOUND, _LOGIT_BOUND).astype(np.float32)
    return bounded


def balanced(origins: Sequence[str], allowed: npt.NDArray[np.int64], count: int, rng: np.random.Generator) -> Any:
    """Draw `count` of the `allowed` rows, int64, of each origin the same number if it has that many."""
    by_origin: dict[str, list[int]] = {}
    for row in rng.permutation(allowed).tolist():
        by_origin.setdefault(origins[row], []).append(row)
    drawn: list[int] = []
    kinds = sorted(by_origin.values(), key=len)
    for number, rows in enumerate(kinds):
        drawn += rows[: (count - len(drawn)) // (len(kinds) - number)]
    return np.array(sorted(drawn), dtype=np.int64)


def _label(
    context: Context, judged: JudgedRows, fold: Fold, pairs: dict[str, Any], features: PairFeatures | None
) -> None:
    path = _labels_file(context, fold)
    rng = np.random.default_rng([context.recipe.seed, 3])
    guard = evaluation_guard(context, judged.evaluated_queries(fold.test))
    allowed = np.flatnonzero(guard.passing(pairs["query"]) & guard.passing(pairs["source_query"]))
    rows = balanced(pairs["origin"], allowed, context.recipe.pseudo_label.rows, rng)
    own, queries, titles = judged.part(fold.train)
    queries += [pairs["query"][row] for row in rows]
    titles += [pairs["title"][row] for row in rows]
    origins = [JUDGED] * len(own) + [pairs["origin"][row] for row in rows]

    recipe = context.recipe.finetune
    cross: list[Floats] = []
    for number in range(recipe.cross_encoders):
        scratch = path.parent / f"{fold.name}-{number}"
        name = f"teacher-{fold.name}-{number}"
        source = context.folder("finetune") / fold.name / f"cross-{number}"
        bundle = teacher_bundle(context.recipe.encoder, source, scratch / "bundle", name, judged)
        title = f"pseudo-label: {fold.name}, cross-encoder {number}"
        job = scratch / "job"
        cross.append(label_by_job(bundle, queries, titles, job, progress=context.progress, title=title))
        shutil.rmtree(scratch)
    members: dict[str, Floats] = {}
    if cross:
        members[CROSS_ENCODER] = np.mean(cross, axis=0)
    if recipe.trees is not None and features is not None:
        trees = fit_trees(recipe.trees, judged, fold.train, features, trees_contrast(context), seed=context.recipe.seed)
        members[TREES] = trees.predict(queries, titles)
    logit = combine(context, members)
    kept = np.flatnonzero(~np.isnan(logit))
    write_columns(
        path,
        {
            "query": [queries[row] for row in kept],
            "title": [titles[row] for row in kept],
            "origin": [origins[row] for row in kept],
            "logit": logit[kept],
        },
    )


def teacher_bundle(recipe: Encoder, source: Path, folder: Path, name: str, judged: JudgedRows) -> Path:
    """Write a cross-encoder as a bundle; an existing one is reused, as the job's score store is keyed by its digest.

    Raises
    ------
    ParityError
        If the bundle's logits of some judged pairs differ from the cross-encoder's.
    """
    if not (folder / MANIFEST).exists():
        draft = folder.with_name(f".{folder.name}.draft")
        bundle = write_teacher_bundle(source, draft, recipe, name=name)
        queries, titles = judged.queries[:_PROBE_ROWS], judged.titles[:_PROBE_ROWS]
        expected = predict(open_reader(source), pair_ids(load_tokenizer(source), queries, titles, recipe))
        most = {"tolerance": _TEACHER_TOLERANCE, "batch_invariance_tolerance": _TEACHER_TOLERANCE}
        check_parity(expected, bundle, queries, titles, **most)
        draft.rename(folder)
    return folder


def _labels_file(context: Context, fold: Fold) -> Path:
    return context.folder(FOLDER) / f"{fold.name}.parquet"
