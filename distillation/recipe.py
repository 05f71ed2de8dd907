"""The recipe: every choice that decides what student comes out, in one typed file.

A recipe is TOML; ``recipes/student.toml`` is the one behind the shipped bundle. Unknown fields are refused, so that a
misspelt choice is an error and not a silent default.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from distillation.errors import RecipeError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Student(_Part):
    """Sizes of the network and of its reading window."""

    vocabulary: int = Field(default=24_000, ge=100, description="WordPiece pieces at most, special tokens included.")
    common_words: int = Field(default=8_000, ge=0, description="Of them, the commonest words of the teacher's.")
    embedding: int = Field(default=96, ge=4, description="Width of an embedding.")
    hidden: int = Field(default=64, ge=4, description="Width of each direction of the LSTM.")
    vector: int = Field(default=128, ge=4, description="Width of a text's twin vector.")
    head: int = Field(default=64, ge=4, description="Width of the classifier's hidden layer.")
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="Dropout on embeddings and in the head.")
    max_query_tokens: int = Field(default=16, ge=3, description="Tokens of a query, [CLS] and [SEP] included.")
    max_title_tokens: int = Field(default=40, ge=2, description="Tokens of a title, [SEP] included.")

    @model_validator(mode="after")
    def _pieces_are_left(self) -> Student:
        if self.common_words > self.vocabulary - 100:
            raise ValueError(f"common_words {self.common_words} leaves under 100 of {self.vocabulary} pieces to train")
        return self


class Teacher(_Part):
    """How a cosine of the teacher becomes a probability: ``sigmoid(slope * (cosine - centre))``."""

    slope: float = Field(default=10.0, gt=0.0)
    centre: float = Field(default=0.45, ge=-1.0, le=1.0)


class Pairs(_Part):
    """Pairs of the shared stage; none of them carries a human judgement, none has a judged query."""

    nightly: int = Field(default=400_000, ge=0, description="Distinct nightly pairs, at most.")
    crops: int = Field(default=60_000, ge=0, description="Pseudo queries cut out of titles.")
    pairs_per_crop: int = Field(default=4, ge=1, description="Titles that each pseudo query is paired with.")
    phrases: int = Field(default=60_000, ge=0, description="Pairs of phrases strung from common words and queries.")
    weak: int = Field(default=100_000, ge=0, description="Weakly labelled pairs, at most.")
    weak_weight: float = Field(default=0.3, ge=0.0, description="Weight of a weak label beside a teacher's 1.")


class Shared(_Part):
    """The shared stage: soft targets of the teacher and weak labels."""

    epochs: float = Field(default=2.0, gt=0.0)
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    vector_weight: float = Field(default=1.0, ge=0.0, description="Weight of the twin vectors' distance.")
    cosine_weight: float = Field(default=5.0, ge=0.0, description="Weight of the squared error of the twin cosine.")


class Finetune(_Part):
    """The judged stage: human grades mixed with replayed soft targets."""

    epochs: int = Field(default=6, ge=1)
    batch: int = Field(default=64, ge=1, description="Judged pairs per step.")
    replay: int = Field(default=128, ge=0, description="Replayed pairs per step.")
    replay_weight: float = Field(default=0.5, ge=0.0)
    learning_rate: float = Field(default=5e-4, gt=0.0)
    grade_targets: tuple[float, float, float, float] = Field(
        default=(0.03, 0.25, 0.8, 0.97), description="Probability of relevance that stands for the grades 0 to 3."
    )


class Evaluation(_Part):
    """Cross-validation by query and the bootstrap over queries."""

    folds: int = Field(default=5, ge=2)
    relevant_grade: int = Field(default=2, ge=1, le=3)
    resamples: int = Field(default=1000, ge=10)
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)


class Recipe(_Part):
    """A whole distillation, seeds included."""

    name: str = "student"
    version: str = "0.1.0"
    seed: int = 13
    threads: int = Field(default=1, ge=1, description="Threads of torch.")
    student: Student = Student()
    teacher: Teacher = Teacher()
    pairs: Pairs = Pairs()
    shared: Shared = Shared()
    finetune: Finetune = Finetune()
    evaluation: Evaluation = Evaluation()


def load_recipe(path: Path | None = None) -> Recipe:
    """Read a recipe; without a path, the one that ships with this package.

    Raises
    ------
    RecipeError
        If the file cannot be read, is not TOML, or holds an unknown field or an impossible value.
    """
    source = path if path is not None else Path(str(resources.files("distillation"))) / "recipes" / "student.toml"
    try:
        return Recipe.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"recipe {source}: cannot be read ({error.strerror})") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {source}: not TOML ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise RecipeError(f"recipe {source}: {where}: {first['msg']}") from None
