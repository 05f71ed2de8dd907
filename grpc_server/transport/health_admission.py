"""Room for health checks: every connection has some of its own, whatever the others do.

Health checks need no token, and the kubelet restarts a pod whose checks fail. So no number of calls on other
connections may use up the room of one: a connection's first call of a kind always finds some, further ones share a
pool, and there is a bound for each connection.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from grpc_server.errors import UnavailableError
from grpc_server.transport.call import Call
from grpc_server.transport.limits import RETRY_SECONDS, MemoryBudget, ReceiveSlots


class HealthAdmission:
    """A budget of bytes for each connection, and places for messages on their way.

    Parameters
    ----------
    arrivals
        The places.
    own
        Bytes that each connection has for itself.
    most
        Bytes that one connection may hold, with what it takes from the pool.
    pool
        Bytes that all connections share beyond their own.
    """

    def __init__(self, arrivals: ReceiveSlots, *, own: int, most: int, pool: int) -> None:
        self.arrivals = arrivals
        self._own = own
        self._most = most
        self._pool = MemoryBudget(pool)
        # A budget lives as long as a call of its connection holds it.
        self._budgets: WeakValueDictionary[str, _ConnectionBudget] = WeakValueDictionary()

    def budget_for(self, call: Call) -> MemoryBudget:
        """Return the budget of the connection that `call` came on."""
        peer: str = call.peer()
        budget = self._budgets.get(peer)
        if budget is None:
            budget = self._budgets[peer] = _ConnectionBudget(self._own, self._most, self._pool)
        return budget


class _ConnectionBudget(MemoryBudget):
    def __init__(self, own: int, most: int, pool: MemoryBudget) -> None:
        super().__init__(most)
        self._own = own
        self._pool = pool

    def take(self, count: int) -> int:
        """Hold `count` bytes more: the connection's own first, then the pool's."""
        if self.taken + count > self._most:
            raise UnavailableError("too many health checks on one connection", RETRY_SECONDS)
        self._pool.take(self._beyond(self.taken + count) - self._beyond(self.taken))
        return super().take(count)

    def give_back(self, count: int) -> None:
        """Hold `count` bytes less: the pool's first."""
        self._pool.give_back(self._beyond(self.taken) - self._beyond(self.taken - count))
        super().give_back(count)

    def _beyond(self, taken: int) -> int:
        return max(0, taken - self._own)
