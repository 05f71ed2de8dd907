"""The model card: what a student is, what it was made of, how good it is, and where it should not be trusted.

After Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from __future__ import annotations

from typing import Any

from distillation.evaluate import Report
from distillation.recipe import Recipe
from distillation.teacher import TEACHER_NAME

_SCORER_NAMES = {
    "student": "**this student** (out of fold)",
    "student, kindred queries apart": "this student, kindred queries in one fold",
    "teacher cosine": f"{TEACHER_NAME} cosine, zero-shot",
}


def model_card(recipe: Recipe, report: Report, lineage: dict[str, dict[str, Any]]) -> str:
    """Return the card as Markdown."""
    student, evaluation = recipe.student, recipe.evaluation
    percent = f"{100 * evaluation.confidence:g} %"
    measures = "\n".join(
        f"| {_SCORER_NAMES.get(name, name)} | {report.auc[name]} | {report.average_precision[name]} |"
        for name in report.auc
    )
    sources = "\n".join(
        f"| `{name}` | {entry['rows']:,} | `{entry['sha256']}` | {entry['licence']} |"
        for name, entry in sorted(lineage.items())
    )
    slope, intercept = report.calibration
    return f"""# {recipe.name} {recipe.version}

Tells whether a product title is relevant to a search query: a calibrated score between 0 and 1, and a label.

## What it is

A BertBiLSTM with late interaction: {student.vocabulary:,} WordPiece pieces at most, embeddings of {student.embedding},
one BiLSTM of {student.hidden} per direction that reads each text by itself, and from its steps a vector and an
importance for each token and a twin vector of {student.vector} for the text. A pair is compared by the cosines of its
texts' token vectors (best partners, weighed and counted by soft bins), by pieces that occur in both, and by the twin
vectors, in a head of {student.head}. Queries are read up to {student.max_query_tokens} tokens and titles up to
{student.max_title_tokens}, special tokens included. All that belongs to one text is a graph of its own (`text.onnx`), so a
server runs it once per text; `pair.onnx` does the rest. The LSTM takes true lengths: a score does not depend on padding
or on other rows.

## Intended use

Labelling (query, title) pairs of product search in English, in bulk, on CPUs; a person reads single scores to
understand them. Not meant for other languages, for texts other than product titles, or for decisions about people.

## Method

1. *Shared stage*, no human judgement: soft targets from {TEACHER_NAME} (Apache-2.0) over nightly pairs, pseudo
   queries cut out of titles, and phrases of common words; twin vectors drawn towards the teacher's; weak labels at
   weight {recipe.pairs.weak_weight:g}. No judged query is among these pairs.
2. *Judged stage*: human grades, with soft targets replayed beside them.
3. *Evaluation*: {evaluation.folds}-fold cross-validation by query over the judged stage. A row is scored by a student
   that saw no judgement of its query. Once more with kindred queries in one fold (*laptop*, *gaming laptops*), which
   is what to expect of queries unlike the judged; calibration (Platt) and threshold (highest F1) come from the latter.
4. The shipped weights are fitted on all judged rows with the same recipe; the table below is about the folds' students.

## How good it is

{report.rows:,} judged pairs of {report.queries} queries, {report.positives:,} of them relevant (grade >= \
{evaluation.relevant_grade}). Intervals: {percent}, bootstrap over queries, {evaluation.resamples:,} resamples.

| scorer | AUC | average precision |
|---|---|---|
{measures}

Best F1 {report.f1:.3f} at threshold {report.threshold:.3f}; calibration slope {slope:.3f}, intercept {intercept:.3f}.

## Limits

- The judgements are few ({report.queries} queries, one shop, mostly electronics): read the intervals, not the third
  decimal.
- The recipe was chosen while looking at these very folds. On queries and titles of another shop, expect less.
- Threshold and calibration were chosen on the same out-of-fold scores that the F1 is quoted on; expect a little less.
- The relevant share among the judged rows ({report.positives / report.rows:.0%}) is not that of a night's log: the
  score is calibrated to the former.
- Texts of fields or languages that the corpus lacks break into many short pieces and are scored with less knowledge.

## Data

| source | rows | SHA-256 | origin, licence |
|---|---:|---|---|
{sources}

## Reproduce

`python -m distillation student --data DATA --work WORK --out BUNDLE --recipe RECIPE`, with this recipe in TOML (seed
{recipe.seed}; the lineage in `bundle.json` holds it too). One thread of torch and the same work folder give the same
student again; from an empty one, the teacher's bfloat16 vectors can differ in their last bits.

```toml
{recipe_toml(recipe)}```
"""


def recipe_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML, every field spelt out."""
    tables = {"": {k: v for k, v in recipe.model_dump().items() if not isinstance(v, dict)}}
    tables |= {k: v for k, v in recipe.model_dump().items() if isinstance(v, dict)}
    blocks = []
    for name, fields in tables.items():
        head = f"[{name}]\n" if name else ""
        blocks.append(head + "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items()))
    return "\n".join(blocks)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
