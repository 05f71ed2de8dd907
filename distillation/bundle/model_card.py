"""The model card, and `docs/model.md`: what a student is, what it was made of, how good it is, where not to trust it.

After Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from __future__ import annotations

from typing import Any

from distillation.data.judgements import RELEVANT_FROM
from distillation.recipe.recipe import Recipe, recipe_toml

_MEANINGS = """\
- *token overlap*, *BM25*, *encoder cosine*: the query's share of words that the title has; Okapi BM25 over all titles;
  cosine of the frozen encoder's vectors. None has seen a judgement.
- *teacher off the shelf*, *cross-encoder off the shelf*: fine-tuned without reading titles first.
- *trees*, *cross-encoder*, *teacher*: the views of the ensemble, and the ensemble.
- *student without distillation*: the same network on the judgements alone; *without augmentation*: distilled on given
  pairs alone.
- *student as shipped*: exported graphs in reduced precision, tokenisation included."""


def model_card(recipe: Recipe, facts: dict[str, Any], table: str) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    recipe
        Every choice.
    facts
        `report` of step `evaluate`, `lineage` of `prepare`, and counts of the other steps.
    table
        The table of measures in Markdown.
    """
    sizes = recipe.student.sizes
    report = facts["report"]
    return f"""# {recipe.name} {recipe.version}

Tells whether a product title is relevant to a search query: a calibrated score between 0 and 1, and a label.

## What it is

A BertBiLSTM: at most {sizes.vocabulary:,} WordPiece pieces, embeddings of {sizes.embedding}, a BiLSTM of {sizes.hidden}
per direction over each text, token vectors of {sizes.token} that meet those of the other text, twin vectors of
{sizes.vector}, a head of {sizes.head}. Queries are read up to {sizes.max_query_tokens} tokens and titles up to
{sizes.max_title_tokens}, special tokens included. The LSTM takes true lengths and no scale is taken from a batch: a
score does not depend on padding or on other rows.

## Intended use

{_use(recipe)}

## Method

After the BertBiLSTM paper (arXiv 2108.10197). {_method(recipe, facts)}

## How good it is

{_measured(recipe, facts)}

{table}
{_MEANINGS}

F1, ECE and agreement use a calibration and a threshold fitted on other queries than those measured. The bundle's own
are fitted on all measured rows: threshold {report["threshold"]:.3f}, calibration slope
{report["calibration"]["slope"]:.3f}, intercept {report["calibration"]["intercept"]:.3f}.

![ROC curves](roc.svg) ![Reliability](reliability.svg) ![Size and speed](speed.svg){_sweep(recipe, report)}

## Forms

{_forms(report)}

## Limits

- Judgements are few: read the intervals, not the third decimal.
- On queries and titles of another shop, expect less than the table says.
- The relevant share among the judged rows ({report["relevant"] / report["rows"]:.0%}) need not be that of a night's
  log: the score is calibrated to the former.
- Texts of fields or languages that the corpus lacks break into many short pieces and are scored with less knowledge.

## Data

{_origins(recipe)}| source | rows | SHA-256 |
|---|---:|---|
{_sources(facts["lineage"])}

## Reproduce

`qtr distill run RECIPE --data DATA --work WORK --out BUNDLE`, with this recipe (seed {recipe.seed}):

```toml
{recipe_toml(recipe)}```
"""


def _use(recipe: Recipe) -> str:
    told = recipe.card
    return (
        "Labelling (query, title) pairs of product search in bulk, on CPUs, "
        f"{told.field or 'in the language of its data'}; a person reads single scores to understand them. Not meant "
        "for texts other than product titles, or for decisions about people."
        + (f" Licence: {told.licence}." if told.licence else "")
    )


def _measured(recipe: Recipe, facts: dict[str, Any]) -> str:
    """Say on what the table was measured, and which labels count as relevant if all sources have the same."""
    report, told = facts["report"], recipe.card
    worths = [source.labels for source in recipe.data.judged]
    labels = ""
    if all(worth == worths[0] for worth in worths):
        labels = f" (label {' or '.join(label for label, worth in worths[0].items() if worth >= RELEVANT_FROM)})"
    return (
        f"{report['rows']:,} judged pairs of {report['queries']:,} queries, {report['relevant']:,} of them "
        f"relevant{labels}. "
        + (f"{told.judgements} " if told.judgements else "")
        + f"{_folds(recipe, facts)} Intervals: {100 * recipe.evaluation.confidence:g} %, bootstrap over queries."
    )


def _sweep(recipe: Recipe, report: dict[str, Any]) -> str:
    if len(report["speed"]) < 2:
        return ""
    sweep = recipe.sweep
    return (
        f"\n\nSizes are compared after {sweep.share:.0%} of the training, on {sweep.folds} folds: their AUC "
        "is not the table's."
    )


def _origins(recipe: Recipe) -> str:
    return f"{recipe.card.origins}\n\n" if recipe.card.origins else ""


def _method(recipe: Recipe, facts: dict[str, Any]) -> str:
    teacher, augmented = recipe.finetune, facts["augmented"]
    read = (
        f"{recipe.encoder.name} was trained further on {recipe.pretrain.rows:,} titles, by guessing masked words"
        if recipe.pretrain.rows
        else f"{recipe.encoder.name} was taken as it is"
    )
    views = []
    if teacher.members:
        views.append(f"{teacher.members} cross-encoder{'s' * (teacher.members > 1)} of it")
    if teacher.trees is not None:
        views.append("decision trees over the frozen encoder's vectors and word overlap")
    counts = ", ".join(f"{count:,} {origin}" for origin, count in augmented["rows"].items())
    return (
        f"{read}. The teacher is {' and '.join(views)}, fitted on judgements. Augmentation made pairs that nobody "
        f"judged ({counts}); the teacher labelled {recipe.pseudo_label.rows:,} of them. The student first learnt the "
        f"frozen encoder's opinion of all of them and {facts['weak']:,} weak labels, then judgements and the teacher's "
        f"soft labels (temperature {recipe.student.judged.temperature:g}). No augmented or weak pair with a query "
        f"akin to a measured one ({recipe.evaluation.guard}) taught the models that measured it."
    )


def _folds(recipe: Recipe, facts: dict[str, Any]) -> str:
    if facts["split"]:
        return "The pairs are the judgements' own test split, which no model has seen."
    groups = "queries akin to each other" if recipe.evaluation.groups == "kindred" else "a query's rows"
    return (
        f"{recipe.evaluation.folds}-fold cross-validation, {groups} in one fold: each row is scored by models that "
        "saw no judgement of its query, and whose teacher saw none either. The student that ships learnt from all rows."
    )


def _forms(report: dict[str, Any]) -> str:
    lines = [
        "| form | bytes | largest change of a logit from torch's | largest with its batch | AUC less torch's |",
        "|---|---:|---:|---:|---:|",
    ]
    for form, seen in report["parity"].items():
        lost = "" if seen["auc_difference"] is None else f"{seen['auc_difference']:+.4f}"
        moved = f"{seen['difference_from_torch']:.1e} | {seen['difference_alone']:.1e}"
        lines.append(f"| {form} | {seen['bytes']:,} | {moved} | {lost} |")
    return "\n".join(lines)


def _sources(lineage: dict[str, Any]) -> str:
    return "\n".join(
        f"| `{name}` | {'' if entry['rows'] is None else format(entry['rows'], ',')} | `{entry['sha256']}` |"
        for name, entry in sorted(lineage.items())
    )
