"""Scripted servers that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.client_scene import Scene
from tests.support.scripted_server import ScriptedServer


@pytest.fixture
def start_scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Start servers: `start_scripted([{"status": "UNAVAILABLE"}])`."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(ScriptedServer(*args, **settings))


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Start scripted servers and clients for them: `server, client = scene([{"status": "UNAVAILABLE"}])`."""
    with ExitStack() as stack:
        yield Scene(stack)
