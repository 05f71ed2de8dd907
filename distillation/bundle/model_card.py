"""The model card of a bundle: what the student is, how it was trained, how good it is, and its limits.

After Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from __future__ import annotations

from typing import Any

from distillation.bundle.capability_table import capability_table
from distillation.recipe.files import recipe_toml
from distillation.recipe.recipe import Recipe
from evaluation.judgements import RELEVANT_FROM

_MEANINGS = """\
- *token overlap*, *BM25*, *encoder cosine*: the share of the query's words that the title has; Okapi BM25 over all
  titles; cosine of the frozen encoder's embeddings. None was fitted on judgements.
- *teacher off the shelf*, *cross-encoder off the shelf*: fine-tuned without pretraining on the titles.
- *trees*, *cross-encoder*, *teacher*: the members of the ensemble, and the ensemble.
- *student without distillation*: the same network, trained on the judgements only; *without augmentation*: distilled on
  the given pairs only.
- *student as shipped*: the exported graphs in reduced precision, tokenisation included."""


def model_card(recipe: Recipe, facts: dict[str, Any], table: str) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    recipe
        The recipe that the student was trained with.
    facts
        `report` of step `evaluate`, `lineage` of `prepare`, and counts of the other steps.
    table
        The table of metrics in Markdown.
    """
    sizes = recipe.student.sizes
    report = facts["report"]
    return f"""# {recipe.name} {recipe.version}

Predicts whether a product title is relevant to a search query: a calibrated score between 0 and 1, and a label.

## What it is

A BertBiLSTM: at most {sizes.vocabulary:,} WordPiece pieces, embeddings of width {sizes.embedding}, a BiLSTM of width
{sizes.hidden} per direction over each text, token vectors of width {sizes.token} that are compared with those of the
other text, twin vectors of width {sizes.vector}, a head of width {sizes.head}. Queries are truncated to
{sizes.max_query_tokens} tokens and titles to {sizes.max_title_tokens}, special tokens included. The LSTM takes true
lengths and nothing is normalised over a batch: a score does not depend on padding or on other rows.

## Intended use

{_use(recipe)}

## Method

After the BertBiLSTM paper (arXiv 2108.10197). {_method(recipe, facts)}

## How good it is

{_measured(recipe, facts)}

{table}
{_MEANINGS}

F1, ECE and agreement use a calibration and a threshold that were fitted on other queries than those measured. The
bundle's own are fitted on all measured rows: threshold {report["threshold"]:.3f}, calibration slope
{report["calibration"]["slope"]:.3f}, intercept {report["calibration"]["intercept"]:.3f}.

![ROC curves](roc.svg) ![Reliability](reliability.svg) ![Size and speed](speed.svg){_sweep(recipe, report)}

## Behaviour by capability

{capability_table(report["capabilities"])}

## Precision of the weights

{_precisions(report)}

## Limits

- Judgements are few: read the intervals, not the third decimal.
- On queries and titles of another shop, expect lower figures than the table's.
- The score is calibrated to the share of relevant rows among the judged ones
  ({report["relevant"] / report["rows"]:.0%}). In a shop's log that share may differ.
- Texts of fields or languages that the corpus lacks break into many short pieces, and their scores are less reliable.

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
    card = recipe.card
    return (
        "Labelling (query, title) pairs of product search in bulk, on CPUs, "
        f"{card.field or 'in the language of its data'}, and scoring single pairs interactively. Not meant "
        "for texts other than product titles, or for decisions about people."
        + (f" Licence: {card.licence}." if card.licence else "")
    )


def _measured(recipe: Recipe, facts: dict[str, Any]) -> str:
    """Describe the rows that the table was measured on, and the relevant labels if all sources have the same."""
    report, card = facts["report"], recipe.card
    first, *others = [source.labels for source in recipe.data.judged]
    labels = ""
    if all(other == first for other in others):
        labels = f" (label {' or '.join(label for label, value in first.items() if value >= RELEVANT_FROM)})"
    return (
        f"{report['rows']:,} judged pairs of {report['queries']:,} queries, {report['relevant']:,} of them "
        f"relevant{labels}. "
        + (f"{card.judgements} " if card.judgements else "")
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
    pretraining = (
        f"{recipe.encoder.name} was pretrained further on {recipe.pretrain.rows:,} titles by masked language modelling"
        if recipe.pretrain.rows
        else f"{recipe.encoder.name} was not pretrained further"
    )
    members = []
    if teacher.cross_encoders:
        members.append(f"{teacher.cross_encoders} cross-encoder{'s' * (teacher.cross_encoders > 1)} of it")
    if teacher.trees is not None:
        members.append("decision trees over the frozen encoder's embeddings and word overlap")
    counts = ", ".join(f"{count:,} {origin}" for origin, count in augmented["rows"].items())
    return (
        f"{pretraining}. The teacher is {' and '.join(members)}, fitted on judgements. Augmentation made unjudged "
        f"pairs ({counts}); the teacher labelled {recipe.pseudo_label.rows:,} of them. The student was first trained "
        f"on the frozen encoder's cosines of all of them and on {facts['weak']:,} weak labels, then on judgements and "
        f"the teacher's soft labels (temperature {recipe.student.judged.temperature:g}). Models were not trained on "
        f"augmented and weak pairs whose query overlaps one that they measure (guard: {recipe.evaluation.guard})."
    )


def _folds(recipe: Recipe, facts: dict[str, Any]) -> str:
    if facts["split"]:
        return "The pairs are the test split of the judgements; no model was trained on them."
    groups = "the rows of overlapping queries" if recipe.evaluation.groups == "overlapping" else "a query's rows"
    return (
        f"{recipe.evaluation.folds}-fold cross-validation, {groups} in one fold: each row is scored by models that "
        "were not trained on a judgement of its query, and neither was their teacher. The student that ships was "
        "trained on all rows."
    )


def _precisions(report: dict[str, Any]) -> str:
    lines = [
        "| precision | bytes | largest difference of a logit from torch's | … of its pair alone | AUC less torch's |",
        "|---|---:|---:|---:|---:|",
    ]
    for precision, measured in report["parity"].items():
        auc = "" if measured["auc_difference"] is None else f"{measured['auc_difference']:+.4f}"
        logits = f"{measured['difference_from_torch']:.1e} | {measured['difference_alone']:.1e}"
        lines.append(f"| {precision} | {measured['bytes']:,} | {logits} | {auc} |")
    return "\n".join(lines)


def _sources(lineage: dict[str, Any]) -> str:
    return "\n".join(
        f"| `{name}` | {'' if entry['rows'] is None else format(entry['rows'], ',')} | `{entry['sha256']}` |"
        for name, entry in sorted(lineage.items())
    )
