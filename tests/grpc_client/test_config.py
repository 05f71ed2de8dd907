"""Settings of a client: keys that can be pickled, and impossible values."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from grpc_client import (
    ClientConfig,
    ConfigError,
    ModelRef,
    RequestRejectedError,
    RetryPolicy,
)


def test_configs_are_keys_and_travel() -> None:
    config = ClientConfig("host:1", model=ModelRef("m", "1"))
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(pickle.loads(pickle.dumps(config))) == hash(config)
    error = pickle.loads(pickle.dumps(RequestRejectedError("a sentence", "NOT_FOUND")))
    assert (str(error), error.code) == ("a sentence", "NOT_FOUND")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"target": " "}, "target is empty"),
        ({"target": "a:1", "deadline_seconds": 0}, "deadline must be more than 0"),
        ({"target": "a:1", "in_flight": 0}, "in_flight must be at least 1"),
    ],
)
def test_impossible_settings_are_named(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ClientConfig(**config)


def test_impossible_retry_policies_are_named() -> None:
    with pytest.raises(ConfigError, match="budget must be more than 0"):
        RetryPolicy(budget_seconds=0)
    with pytest.raises(ConfigError, match="at most the maximum backoff, not 9 of 5"):
        RetryPolicy(initial_backoff_seconds=9)
