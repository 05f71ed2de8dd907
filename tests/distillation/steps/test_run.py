"""A whole distillation: a folder in the format of WANDS, one command, a bundle that serves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distillation.__main__ import main
from distillation.bundle.capability_table import capability_table
from distillation.data.leakage import QueryGuard
from distillation.pipeline.workspace import Context, read_columns, read_json, read_record
from distillation.recipe.files import load_recipe, recipe_path
from distillation.recipe.recipe import Augment
from distillation.steps.graph import STEPS, out_of_date
from evaluation.capabilities import compare_model, default_capabilities_path, pairs_of, read_triples
from evaluation.metrics import auc
from relevance_model import Bundle, Scorer
from relevance_stubs.relevance.v1 import relevance_pb2, relevance_pb2_grpc
from tests.support.learning import learnt
from tests.support.server_process import ServerProcess
from tests.support.small_shop import KINDS, small_shop, title_of, write_encoder, write_wands

CHANCE = 0.5


@dataclass(frozen=True)
class Run:
    root: Path
    words: list[str]

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("run")
    shop = small_shop()
    write_wands(shop, root / "data")
    encoder = write_encoder(shop, root / "encoder")
    recipe = root / "mine.toml"
    recipe.write_text(recipe_path("smoke").read_text() + f'\n[encoder]\nname = "{encoder}"\n')
    words = [str(recipe), "--data", str(root / "data"), "--work", str(root / "work")]
    assert main(["run", *words, "--out", str(root / "bundle")]) == 0
    return Run(root, words)


@pytest.fixture(scope="module")
def unjudged() -> tuple[list[str], list[str], np.ndarray]:
    """Pairs of brands that no judged query names: query, title, whether they are of one kind."""
    rng = np.random.default_rng(99)
    kinds = list(KINDS)
    rows = []
    for turn in range(240):
        kind = kinds[turn % 6]
        other = kind if turn % 2 else kinds[rng.integers(6)]
        rows.append((f"{kind} {('velour', 'quill')[turn % 4 // 2]}", title_of(other, rng), int(other == kind)))
    return [q for q, _, _ in rows], [t for _, t, _ in rows], np.array([label for _, _, label in rows])


def test_every_step_learns_something(run: Run) -> None:
    assert learnt(read_json(run.work / "pretrain" / "history.json"))
    teachers = read_json(run.work / "finetune" / "report.json")
    students = read_json(run.work / "student" / "report.json")
    for report in (teachers, students):
        for name, history in report["loss"].items():
            assert learnt(history), name
    assert learnt(read_json(run.work / "shared-stage" / "report.json")["loss"])
    assert teachers["auc"]["teacher"] > CHANCE + 0.2
    assert students["auc"] > CHANCE + 0.2


def test_the_teacher_s_labels_tell_right_from_wrong(run: Run) -> None:
    labelled = read_columns(run.work / "pseudo-label" / "final.parquet")
    judged = set(read_columns(run.work / "prepare" / "judged.parquet")["query"])
    kinds = [
        row
        for row, query in enumerate(labelled["query"])
        if query in judged and len(labelled["title"][row].split()) == 4
    ]
    same = np.array([labelled["query"][row].split()[0] in labelled["title"][row].split() for row in kinds])
    assert 20 < same.sum() < len(same) - 20
    assert auc(same.astype(int), labelled["logit"][kinds]) > CHANCE + 0.2


def test_a_fold_s_teacher_labelled_nothing_that_the_fold_measures(run: Run) -> None:
    judged = read_columns(run.work / "prepare" / "judged.parquet")
    for fold in (0, 1):
        held_out = [q for q, f in zip(judged["query"], judged["fold"], strict=True) if f == fold]
        guard = QueryGuard(held_out, "normalised")
        labelled = read_columns(run.work / "pseudo-label" / f"fold-{fold}.parquet")
        assert guard.passing(labelled["query"]).all()
        assert {"judged", "lexical", "embedding", "swapped"} <= set(labelled["origin"])


def test_the_table_has_every_row_and_measure(run: Run) -> None:
    table = read_json(run.work / "evaluate" / "report.json")["table"]
    assert list(table) == [
        "token overlap",
        "BM25",
        "encoder cosine",
        "teacher off the shelf",
        "cross-encoder off the shelf",
        "trees",
        "cross-encoder",
        "teacher",
        "student without distillation",
        "student without augmentation",
        "student",
        "student as shipped",
    ]
    for name, measures in table.items():
        assert set(measures) >= {"auc", "average_precision", "f1", "ndcg", "calibration_error"}
        assert ("agreement" in measures) == (name != "teacher")
        for interval in measures.values():
            assert interval["low"] <= interval["high"]
    assert abs(table["student"]["auc"]["value"] - table["student as shipped"]["auc"]["value"]) < 0.005


def test_the_bundle_says_how_good_it_is(run: Run) -> None:
    bundle = Bundle.load(run.bundle)
    report = read_json(run.work / "evaluate" / "report.json")
    manifest = bundle.manifest
    assert manifest.threshold == report["threshold"]
    assert manifest.calibration.slope == report["calibration"]["slope"]
    assert manifest.metrics["shipped"] == report["table"]["student as shipped"]
    assert manifest.lineage["data"]["label.csv"]["rows"] > 0
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert (run.work / "evaluate" / "table.md").read_text() in card
    assert capability_table(report["capabilities"]) in card
    triples = read_triples(default_capabilities_path())
    scores = Scorer(bundle).score_texts(*pairs_of(triples)).scores
    assert manifest.metrics["capabilities"] == asdict(compare_model(triples, scores, manifest.threshold).total())
    assert str(run.root) not in card + manifest.model_dump_json()
    assert {"roc.svg", "reliability.svg", "speed.svg"} <= set(manifest.files)
    assert report["parity"]["float32"]["difference_from_torch"] < 0.01
    for precision in report["parity"].values():
        assert precision["difference_alone"] <= 1e-5


def test_the_student_knows_pairs_that_nobody_judged(
    run: Run, unjudged: tuple[list[str], list[str], np.ndarray]
) -> None:
    queries, titles, labels = unjudged
    assert auc(labels, Scorer(Bundle.load(run.bundle)).score_texts(queries, titles).scores) > CHANCE + 0.2


def test_qtr_serve_serves_it(run: Run, unjudged: tuple[list[str], list[str], np.ndarray]) -> None:
    queries, titles = unjudged[0][:1], unjudged[1][:20]
    with ServerProcess("--bundle", str(run.bundle)) as server, server.channel() as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        answer = stub.ScoreBatch(
            relevance_pb2.ScoreBatchRequest(
                queries=queries, titles=titles, query_index=[0] * len(titles), title_index=range(len(titles))
            ),
        )
    expected = Scorer(Bundle.load(run.bundle)).score_texts(queries, titles, [0] * len(titles)).scores
    np.testing.assert_allclose(answer.scores, expected, atol=1e-6)


def test_a_second_run_has_nothing_to_do(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [step.name for step in STEPS if not step.optional]
    before = {step: read_record(run.work / step) for step in steps}
    assert main(["run", *run.words]) == 0
    said = capsys.readouterr().err
    assert said.count("finished earlier, up to date") == len(steps)
    assert {step: read_record(run.work / step) for step in steps} == before


def test_a_sweep_measures_and_times_each_size(run: Run) -> None:
    recipe = run.root / "sweep.toml"
    sizes = "{ vocabulary = 300, common_words = 0, embedding = 8, hidden = 8, vector = 8, token = 8, head = 8 }"
    text = (run.root / "mine.toml").read_text()
    recipe.write_text(text + f"\n[sweep]\nshare = 0.1\ntimed_pairs = 200\nsizes = [{sizes}]\n")
    assert main(["sweep", str(recipe), *run.words[1:]]) == 0
    (point,) = read_json(run.work / "sweep" / "sweep.json")
    assert 0.0 < point["auc"] <= 1.0
    assert point["us_per_pair"] > 0.0
    assert point["bytes"] > 1000


def test_a_sweep_stands_whichever_size_is_chosen_after_it(run: Run) -> None:
    recipe = run.root / "sweep.toml"
    context = Context(load_recipe(recipe), run.work, run.root / "data")
    assert out_of_date("sweep", context) == []
    chosen = context.recipe.sweep.sizes[0]
    student = context.recipe.student.model_copy(update={"sizes": chosen})
    assert out_of_date("sweep", replace(context, recipe=context.recipe.model_copy(update={"student": student}))) == []
    judged = student.judged.model_copy(update={"epochs": 99})
    other = context.recipe.model_copy(update={"student": student.model_copy(update={"judged": judged})})
    assert out_of_date("sweep", replace(context, recipe=other)) == ["recipe"]


def test_a_sweep_of_these_data_is_drawn_and_another_is_not(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(run.root / "sweep.toml"), *run.words[1:]]
    assert main(["evaluate", *words]) == 0
    assert [p["name"] for p in read_json(run.work / "evaluate" / "report.json")["speed"]] == ["8/8/8, 0.3k"]
    more = run.root / "more.toml"
    more.write_text(Path(words[0]).read_text().replace("share = 0.1", "share = 0.2"))
    assert main(["evaluate", str(more), *words[1:]]) == 0
    assert "evaluate: the sweep is out of date (recipe) and left out" in capsys.readouterr().err
    assert [p["name"] for p in read_json(run.work / "evaluate" / "report.json")["speed"]] != ["8/8/8, 0.3k"]


def test_a_table_of_capabilities_of_one_s_own(run: Run) -> None:
    (run.root / "data" / "mine.tsv").write_text(
        "capability\tquery\tbetter\tworse\nkind\tlaptop kestrel\tkestrel laptop notebook 12\tkestrel printer toner 12\n"
    )
    recipe = run.root / "capabilities.toml"
    text = (run.root / "mine.toml").read_text()
    recipe.write_text(text.replace("[evaluation]", '[evaluation]\ncapabilities = "mine.tsv"'))
    assert main(["evaluate", str(recipe), *run.words[1:]]) == 0
    report = read_json(run.work / "evaluate" / "report.json")["capabilities"]
    assert list(report["scorers"]) == ["token overlap", "encoder cosine", "student as shipped"]
    assert list(report["scorers"]["student as shipped"]["by_capability"]) == ["kind"]


def test_the_recipe_asks_for_one_thread(run: Run) -> None:
    """So that the same work folder gives the same student wherever it is made."""
    assert load_recipe(run.root / "mine.toml").threads == torch.get_num_threads() == 1


def test_judgements_alone_give_a_student_too(run: Run) -> None:
    """Nothing to augment and nothing weakly labelled: the shared stage has no pair to learn from, and ends."""
    kept = [line for line in (run.root / "mine.toml").read_text().splitlines() if not line.startswith("weak = ")]
    text = "\n".join(kept)
    begin, end = text.index("[augment]"), text.index("\n[", text.index("[augment]") + 1)
    none = "\n".join(f"{name} = 0" for name in Augment.model_fields if name != "neighbours")
    recipe, work = run.root / "bare.toml", run.root / "bare"
    recipe.write_text(f"{text[:begin]}[augment]\n{none}\n{text[end:]}")
    words = ["--data", str(run.root / "data"), "--work", str(work), "--out", str(run.root / "bare-bundle")]
    assert main(["run", str(recipe), *words]) == 0
    assert read_json(work / "augment" / "report.json")["rows"] == {}
    assert read_json(work / "shared-stage" / "report.json")["loss"] == []
    assert Bundle.load(run.root / "bare-bundle").manifest.name == "smoke"
