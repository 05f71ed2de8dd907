"""Dashboard, alert rules and their page speak of metrics that a real server has, and Prometheus understands them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from grpc_server.settings import ServerSettings
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.promtool import promtool
from tests.support.scrape import Scrape, read_metrics
from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "k8s" / "components" / "monitoring"
PAGE = (ROOT / "docs" / "metrics.md").read_text()

DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    **{f"panel {panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
    **{f"alert {rule['alert']}": rule["expr"] for rule in RULES},
}
# By convention every selector here has braces, so that names can be told from functions and labels.
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
OURS = re.compile(r"\b(?:qtr|grpc_server|process)_\w+")
# Prometheus adds these to whatever it scrapes.
TARGET_LABELS = {"job", "instance"}
TOKEN = "token-of-the-monitoring-tests"


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrape]:
    """Serve requests of every kind, then read the metrics."""
    token_file = tmp_path_factory.mktemp("tokens") / "token"
    token_file.write_text(TOKEN)
    bearer = grpc.access_token_call_credentials(TOKEN)
    with ServerProcess("--max-queued-tokens", "200", "--auth-token-file", str(token_file)) as server:
        credentials = grpc.composite_channel_credentials(grpc.local_channel_credentials(), bearer)
        stub = relevance_pb2_grpc.RelevanceServiceStub(server.channel(credentials))
        stub.GetModel(pb.GetModelRequest())
        stub.Score(pb.ScoreRequest(query="red shoes", titles=["Red shoes", ""]))
        stub.ScoreBatch(pb.ScoreBatchRequest(queries=["usb"] * 100, titles=["USB cable"] * 100))
        with pytest.raises(grpc.RpcError):
            stub.Score(pb.ScoreRequest(query="no titles"))
        yield read_metrics(server.metrics_address)


def selectors() -> Iterator[tuple[str, str, set[str]]]:
    for place, expression in EXPRESSIONS.items():
        for name, matchers in SELECTOR.findall(expression):
            yield place, name, set(re.findall(r"(\w+)\s*[=!]~?=?\s*\"", matchers))


def test_every_metric_asked_for_is_there_with_the_labels_asked_for(scraped: Scrape) -> None:
    for place, name, labels in selectors():
        series = scraped.samples.get(name)
        assert series, f"{place}: the server has no {name}"
        known = {label for names in series for label, _ in names} | TARGET_LABELS
        assert labels <= known, f"{place}: {name} has no label {labels - known}"


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_every_metric_is_selected_with_braces(place: str) -> None:
    names = set(OURS.findall(re.sub(r'"[^"]*"', "", EXPRESSIONS[place])))
    selected = {name for name, _ in SELECTOR.findall(EXPRESSIONS[place])}
    assert names
    assert names == selected


def test_sums_are_by_labels_that_exist(scraped: Scrape) -> None:
    known = {label for series in scraped.samples.values() for names in series for label, _ in names} | TARGET_LABELS
    for place, expression in EXPRESSIONS.items():
        for grouping in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            assert {label.strip() for label in grouping.split(",")} <= known, place


def documented() -> dict[str, set[str]]:
    """Return the page's metrics with their labels."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|[^|]*\|[^|]*\|$", PAGE, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_the_page_and_the_server_have_the_same_metrics(scraped: Scrape) -> None:
    assert set(documented()) == scraped.families


def test_the_page_names_the_labels(scraped: Scrape) -> None:
    for name, labels in documented().items():
        series = {**scraped.samples.get(name, {}), **scraped.samples.get(f"{name}_count", {})}
        assert {label for names in series for label, _ in names} == labels, name


def test_the_page_names_the_values_of_labels(scraped: Scrape) -> None:
    for name, label in (("qtr_rejected_total", "reason"), ("qtr_rows_total", "outcome")):
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
        for names in scraped.samples[name]:
            assert f"`{dict(names)[label]}`" in row


def test_every_setting_on_the_page_is_a_flag() -> None:
    flags = {f"--{name.replace('_', '-')}" for name in ServerSettings.model_fields}
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE)) | {
        flag for rule in RULES for flag in re.findall(r"--[a-z][a-z-]+", rule["annotations"]["description"])
    }
    assert named <= flags | {"--no-metrics"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    page, _, anchor = annotations["runbook"].partition("#")
    assert page == "docs/metrics.md"
    assert anchor in {heading.lower() for heading in re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)}


def test_every_alert_on_the_page_exists() -> None:
    headings = re.findall(r"^### (Qtr\w+)$", PAGE, re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


def test_promtool_understands_every_panel(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{panel['id']}:{target['refId']}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for panel in PANELS
        for target in panel["targets"]
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    result = promtool("check", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules)} rules found" in result.stdout


def test_the_dashboard_holds_together() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Traffic", "Errors", "Latency", "Batching", "Saturation", "Cache", "What runs"]
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "job", "instance"]
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        used = {name for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
        assert used <= {*variables, "__rate_interval"}


def test_no_panel_lies_over_another() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not cells & own, panel["title"]
        cells |= own
