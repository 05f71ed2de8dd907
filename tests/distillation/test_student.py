"""The whole recipe on a small data folder: it learns, it exports, and it refuses what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from distillation.__main__ import main
from distillation.data import DataFolder
from distillation.errors import ParityError
from distillation.export import check_parity, draft_manifest, export_bundle
from distillation.metrics import auc
from distillation.model import BertBiLSTM, Shape
from distillation.pairs import shared_pairs
from distillation.recipe import Pairs
from distillation.teacher import TeacherVectors
from distillation.vocabulary import train_vocabulary
from relevance_model.bundle import MODEL_CARD, Bundle
from relevance_model.scorer import Scorer

RECIPE = """
name = "tiny"
version = "0.0.1"
[student]
vocabulary = 300
common_words = 50
embedding = 24
hidden = 16
vector = 16
head = 16
[pairs]
nightly = 600
crops = 100
phrases = 100
weak = 100
[shared]
epochs = 10.0
batch = 64
learning_rate = 0.01
[finetune]
epochs = 6
replay = 32
learning_rate = 0.003
[evaluation]
folds = 2
resamples = 50
"""


FreshPairs = tuple[list[str], list[str], np.ndarray]


@dataclass(frozen=True)
class Run:
    bundle: Bundle
    work: Path
    words: list[str]
    printed: str


@pytest.fixture(scope="module")
def run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE)
    out = folder / "bundles" / "tiny"
    words = ["student", "--data", str(data_root), "--work", str(folder), "--out", str(out), "--recipe", str(recipe)]
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda *a, **_: printed.append(" ".join(map(str, a))))
        assert main(words) == 0
    return Run(Bundle.load(out), folder, words, "\n".join(printed))


def test_the_trained_student_beats_the_untrained(run: Run, fresh_pairs: FreshPairs, tmp_path: Path) -> None:
    queries, titles, labels = fresh_pairs
    tokenizer = train_vocabulary([*queries, *titles], size=300)
    shape = Shape(tokenizer.get_vocab_size(), embedding=24, hidden=16, vector=16, head=16)
    untrained = export_bundle(
        BertBiLSTM(shape).eval(),
        tokenizer,
        tmp_path / "untrained",
        manifest=draft_manifest(
            name="untrained",
            version="0",
            threshold=0.5,
            calibration=(1.0, 0.0),
            max_query_tokens=16,
            max_title_tokens=40,
            metrics={},
            lineage={},
        ),
        card="untrained",
        probe=(queries, titles),
    )
    before = auc(labels, Scorer(untrained).score_texts(queries, titles).scores)
    after = auc(labels, Scorer(run.bundle).score_texts(queries, titles).scores)
    assert after > 0.9
    assert after > before + 0.1


def test_the_bundle_tells_where_it_comes_from(run: Run, data_root: Path) -> None:
    manifest = run.bundle.manifest
    judged = manifest.lineage["data"]["judged/icecat.tsv.gz"]
    assert judged["rows"] == 6 * 4 * 12
    assert len(judged["sha256"]) == 64
    assert set(manifest.metrics["auc"]) == {
        "student",
        "student, kindred queries apart",
        "teacher cosine",
        "token overlap",
    }
    card = (run.bundle.path / MODEL_CARD).read_text()
    assert judged["sha256"] in card
    student = manifest.metrics["auc"]["student"]
    assert student["low"] <= student["value"] <= student["high"]
    assert f"{student['value']:.3f} [" in run.printed
    assert str(data_root) not in card


def test_a_second_run_gives_the_same_student(run: Run, tmp_path: Path) -> None:
    """It starts from the kept weights of the shared stage; the rest is seeded."""
    kept = list(run.work.glob("shared-*.pt"))
    assert len(kept) == 1
    written = kept[0].stat().st_mtime_ns
    out = tmp_path / "again"
    assert main([*run.words, "--out", str(out)]) == 0
    assert kept[0].stat().st_mtime_ns == written
    assert Bundle.load(out).manifest == run.bundle.manifest


def test_teacher_vectors_are_computed_once(run: Run) -> None:
    folder = run.work / "teacher"
    first = TeacherVectors(folder).of(["cheap laptop", "a text nobody has read", "cheap laptop"])
    chunks = sorted(folder.iterdir())
    again = TeacherVectors(folder).of(["a text nobody has read", "cheap laptop"])
    assert sorted(folder.iterdir()) == chunks
    np.testing.assert_array_equal(again, first[1:])
    np.testing.assert_allclose(np.linalg.norm(again.astype(np.float32), axis=1), 1.0, atol=1e-2)


def test_no_judged_query_reaches_the_shared_stage(data_root: Path) -> None:
    data = DataFolder(data_root)
    held_out = set(data.judged().queries)
    pairs = shared_pairs(data, Pairs(), words=["cheap"], held_out=held_out, rng=np.random.default_rng(0))
    assert len(pairs) > 600
    assert "laptop kestrel" in held_out
    assert not {query.strip().lower() for query in pairs.queries} & held_out
    weak = ~np.isnan(pairs.label)
    assert set(np.unique(pairs.label[weak])) == {0.0, 1.0}
    assert np.all(pairs.weight[weak] < pairs.weight[~weak].min())


def test_a_network_that_differs_from_its_graphs_is_refused(run: Run, fresh_pairs: FreshPairs, tmp_path: Path) -> None:
    queries, titles, _ = fresh_pairs
    tokenizer = train_vocabulary([*queries, *titles], size=300)
    model = BertBiLSTM(Shape(tokenizer.get_vocab_size(), embedding=24, hidden=16, vector=16, head=16)).eval()
    manifest = run.bundle.manifest
    bundle = export_bundle(
        model, tokenizer, tmp_path / "b", manifest=manifest, card="x", probe=(queries[:5], titles[:5])
    )
    model.head_out.bias.data += 0.01
    with pytest.raises(ParityError, match="disagree"):
        check_parity(model, tokenizer, bundle, (queries[:5], titles[:5]))


@pytest.mark.parametrize(
    ("recipe", "complaint"),
    [
        ("[student]\nhiden = 3\n", "student.hiden"),
        ("[student]\nvocabulary = 8000\n", "common_words 8000 leaves under 100"),
        ("seed = ", "not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_recipe_is_one_sentence(
    recipe: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.toml"
    if recipe is not None:
        path.write_text(recipe)
    words = ["student", "--data", str(tmp_path), "--work", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main([*words, "--recipe", str(path)]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert "Traceback" not in said
