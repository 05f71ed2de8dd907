"""A queue that serves its sources in turn, so that one with much work does not delay the others (fair queueing)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from grpc_server.core.work import Work


class FairQueue:
    """First in, first out within a source; one piece of work of each source in turn. Not safe for threads."""

    def __init__(self) -> None:
        # The next source to serve comes first; none is empty.
        self._sources: dict[str, deque[Work]] = {}
        self._tokens: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Return whether work waits."""
        return bool(self._sources)

    def tokens(self, source: str) -> int:
        """Return the estimated tokens that wait from `source`."""
        return self._tokens.get(source, 0)

    def append(self, parts: Sequence[Work], tokens: int) -> None:
        """Append the parts of one request, which have `tokens` in all."""
        source = parts[0].source
        self._sources.setdefault(source, deque()).extend(parts)
        self._tokens[source] = self._tokens.get(source, 0) + tokens

    def first(self) -> Work:
        """Return the work that `pop` would return."""
        return next(iter(self._sources.values()))[0]

    def pop(self) -> Work:
        """Remove the first work of the next source, and return it."""
        source, waiting = next(iter(self._sources.items()))
        work = waiting.popleft()
        if len(self._sources) > 1 or not waiting:
            del self._sources[source]
        if waiting:
            self._sources[source] = waiting
            self._tokens[source] -= work.tokens
        else:
            del self._tokens[source]
        return work
