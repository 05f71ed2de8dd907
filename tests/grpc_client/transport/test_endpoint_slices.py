"""Addresses by Kubernetes: the real client library against a scripted API server, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grpc_client import ClientConfig, ConfigError, NoAddressError, RelevanceClient, RetryPolicy, TargetUnavailableError
from grpc_client.transport.endpoint_slices import EndpointSlices, target_of
from tests.support.kubernetes_api import KubernetesApi
from tests.support.scripted_server import ScriptedServer

TARGET = "k8s:///search/relevance:grpc"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with KubernetesApi() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


@pytest.fixture
def slices(api: KubernetesApi) -> Iterator[EndpointSlices]:
    found = EndpointSlices(TARGET)
    yield found
    found.close()


def becomes(slices: EndpointSlices, target: str) -> None:
    while slices.target(5) != target:
        time.sleep(0.01)


def lists(api: KubernetesApi) -> int:
    return api.count("GET", "endpointslices") - api.count("GET", "watch=true")


def test_ready_endpoints_make_the_target_and_changes_change_it(api: KubernetesApi, slices: EndpointSlices) -> None:
    api.set_endpoints(["10.0.0.2:8001", "10.0.0.1:8001"], not_ready=["10.0.0.9:8001"])
    assert slices.target(30) == "ipv4:10.0.0.1:8001,10.0.0.2:8001"
    api.set_endpoints(["10.0.0.1:8001", "10.0.0.2:8001", "10.0.0.3:8001"])
    becomes(slices, "ipv4:10.0.0.1:8001,10.0.0.2:8001,10.0.0.3:8001")
    api.set_endpoints(["10.0.0.4:8001"], name="relevance-second")
    becomes(slices, "ipv4:10.0.0.1:8001,10.0.0.2:8001,10.0.0.3:8001,10.0.0.4:8001")
    api.set_endpoints([], name="relevance-second")
    becomes(slices, "ipv4:10.0.0.1:8001,10.0.0.2:8001,10.0.0.3:8001")
    assert api.count("GET", "watch=true") == 1
    # When all are gone, calls go where they went.
    api.set_endpoints([])
    api.set_endpoints(["10.0.0.7:8001"], name="relevance-third")
    becomes(slices, "ipv4:10.0.0.7:8001")


def test_nothing_ready_yet_is_named_and_waited_for(api: KubernetesApi, slices: EndpointSlices) -> None:
    with pytest.raises(NoAddressError, match="service search/relevance has no ready endpoint with port grpc"):
        slices.target(30)
    api.set_endpoints(["10.0.0.1:8001"])
    while True:
        try:
            assert slices.target(5) == "ipv4:10.0.0.1:8001"
            break
        except NoAddressError:
            time.sleep(0.01)


@pytest.mark.parametrize("as_status", [False, True])
def test_a_version_that_is_gone_begins_with_a_new_list(
    api: KubernetesApi, slices: EndpointSlices, as_status: bool
) -> None:
    api.gone_as_status = as_status
    api.set_endpoints(["10.0.0.1:8001"])
    assert slices.target(30) == "ipv4:10.0.0.1:8001"
    api.wait_for("GET", "watch=true")
    api.forget(before=api._version + 2)
    api.cut_streams()
    api.wait_for("GET", "watch=true", count=2)
    api.set_endpoints(["10.0.0.2:8001"])
    api.bookmark()
    becomes(slices, "ipv4:10.0.0.2:8001")
    assert lists(api) >= 2


def test_a_watch_goes_on_from_the_bookmark(api: KubernetesApi, slices: EndpointSlices) -> None:
    api.set_endpoints(["10.0.0.1:8001"])
    assert slices.target(30) == "ipv4:10.0.0.1:8001"
    api.wait_for("GET", "watch=true")
    bookmarked = api.bookmark()
    api.forget(before=bookmarked)
    api.cut_streams(after=bookmarked)
    api.wait_for("GET", "watch=true", count=2)
    api.set_endpoints(["10.0.0.2:8001"])
    becomes(slices, "ipv4:10.0.0.2:8001")
    assert lists(api) == 1


def test_an_api_server_that_restarts_is_found_again(api: KubernetesApi, slices: EndpointSlices) -> None:
    api.set_endpoints(["10.0.0.1:8001"])
    assert slices.target(30) == "ipv4:10.0.0.1:8001"
    api.wait_for("GET", "watch=true")
    api.stop()
    assert slices.target(30) == "ipv4:10.0.0.1:8001"
    api.set_endpoints(["10.0.0.2:8001"])
    api.start()
    becomes(slices, "ipv4:10.0.0.2:8001")


def test_what_rbac_refuses_is_one_sentence(api: KubernetesApi) -> None:
    api.denied.add(("GET", "endpointslices"))
    with (
        RelevanceClient(ClientConfig(TARGET)) as client,
        pytest.raises(
            ConfigError, match=r"does not let this program list and watch endpointslices in search: .*forbidden"
        ),
    ):
        client.model()


def test_rights_that_are_lost_later_change_nothing(api: KubernetesApi, slices: EndpointSlices) -> None:
    api.set_endpoints(["10.0.0.1:8001"])
    assert slices.target(30) == "ipv4:10.0.0.1:8001"
    api.denied.add(("GET", "endpointslices"))
    api.cut_streams()
    api.wait_for("GET", "watch=true", count=2)
    assert slices.target(30) == "ipv4:10.0.0.1:8001"


def test_no_api_server_is_named_within_the_budget(api: KubernetesApi) -> None:
    api.stop()
    config = ClientConfig(TARGET, retry=RetryPolicy(budget_seconds=1))
    with (
        RelevanceClient(config) as client,
        pytest.raises(TargetUnavailableError, match="no Kubernetes API server answers"),
    ):
        client.model()
    api.start()


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("k8s:///search/relevance", "has another shape than k8s:///NAMESPACE/SERVICE:PORT"),
        ("k8s://search/relevance:grpc", "has another shape"),
    ],
)
def test_targets_of_another_shape_are_named(target: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ClientConfig(target)


@pytest.mark.parametrize("text", [None, "clusters: [", "- just a list"])
def test_no_configuration_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with (
        RelevanceClient(ClientConfig(TARGET)) as client,
        pytest.raises(ConfigError, match="no way to a Kubernetes API"),
    ):
        client.model()


def test_ports_by_number_and_addresses_of_both_kinds() -> None:
    def one(kind: str, address: str, port: int | None) -> dict[str, object]:
        return {
            "addressType": kind,
            "endpoints": [{"addresses": [address]}],
            "ports": [{"name": "grpc", "port": port}] if port else None,
        }

    assert target_of([one("IPv4", "10.0.0.1", 8001)], "8001") == "ipv4:10.0.0.1:8001"
    assert target_of([one("IPv6", "fd00::1", 8001)], "grpc") == "ipv6:[fd00::1]:8001"
    assert target_of([one("IPv6", "fd00::1", 8001), one("IPv4", "10.0.0.1", 8001)], "grpc") == "ipv4:10.0.0.1:8001"
    assert target_of([one("IPv4", "10.0.0.1", 8001)], "http") == ""
    assert target_of([one("IPv4", "10.0.0.1", None), one("FQDN", "a.b", 8001)], "grpc") == ""


def test_calls_follow_the_endpoints(api: KubernetesApi, start_scripted: Callable[[], ScriptedServer]) -> None:
    one, two = start_scripted(), start_scripted()
    api.set_endpoints([one.address])
    quick = RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.01, max_backoff_seconds=0.05)
    with RelevanceClient(ClientConfig(TARGET, retry=quick)) as client:
        client.score_batch(["a"], ["b"])
        one.next_call()
        api.set_endpoints([two.address])
        while two._calls.empty():
            client.score_batch(["a"], ["b"])
        assert client.stats().retries == 0
