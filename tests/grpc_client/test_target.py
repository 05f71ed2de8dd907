"""Targets: a mistyped one is a sentence at once, and a server on this machine is called without a proxy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from grpc_client import ClientConfig, ConfigError
from grpc_client.target import check_target, needs_no_proxy
from tests.support.server_process import ServerProcess


@pytest.mark.parametrize(
    ("target", "here"),
    [
        ("localhost:8001", True),
        ("127.0.0.1:8001", True),
        ("[::1]:8001", True),
        ("ipv4:127.0.0.1:5001,127.0.0.2:5002", True),
        ("ipv6:[::1]:5001", True),
        ("dns:///localhost:8001", True),
        ("unix:///run/qtr.sock", True),
        ("unix:run/qtr.sock", True),
        ("ipv4:127.0.0.1:5001,192.0.2.1:5002", False),
        ("relevance:8001", False),
        ("dns:///relevance:8001", False),
        ("dns:relevance:8001", False),
        ("dns://192.0.2.53/relevance:8001", False),
        ("xds:///relevance", False),
        ("k8s:///search/relevance:grpc", False),
    ],
)
def test_what_a_target_may_be_and_whether_it_is_on_this_machine(target: str, here: bool) -> None:
    check_target(target)
    assert needs_no_proxy(target) is here


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (" ", "the target is empty"),
        ("localhost", "the target localhost has no port; expected HOST:PORT, such as localhost:8001"),
        ("dns:///relevance", "has no port"),
        ("ipv4:127.0.0.1", "has no port"),
        ("http://localhost:8001", "begins with http:, which gRPC does not know"),
        ("HTTPS://localhost:8001", "begins with https:"),
        ("grpc://localhost:8001", "begins with grpc:"),
        ("localhost:0", "has the port 0, expected 1 to 65535"),
        ("localhost:80010", "has the port 80010"),
        ("localhost:grpc", "is no address"),
        ("localhost:8001/path", "is no address"),
        ("local host:8001", "the target 'local host:8001' is no address"),
        ("a:1,b:2", "write them as ipv4:ADDRESS:PORT,ADDRESS:PORT"),
        ("::1", "write [::1]:PORT"),
        ("ipv4:relevance:8001", "names relevance, which is no ipv4 address"),
        ("k8s:///search", "another shape than k8s:///NAMESPACE/SERVICE:PORT"),
        ("x\ny:1", r"the target 'x\ny:1' is no address"),
    ],
)
def test_a_mistyped_target_is_one_sentence(target: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ClientConfig(target)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", [["score", "--query", "a", "--title", "b"], ["plan", "--rows", "5"]])
def test_commands_name_the_flag(command: list[str]) -> None:
    words = [sys.executable, "-m", "qtr", *command, "--target", "http://localhost:8001"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(f"qtr {command[0]}: --target: the target http://localhost:8001 ")
    assert result.stderr.count("\n") == 1


def test_no_proxy_comes_between_this_machine_and_itself(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    words = [sys.executable, "-m", "qtr", "score", "--query", "kettle", "--title", "kettle", "--json", "--target"]
    result = subprocess.run([*words, server.address], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["results"][0]["label"]
