"""Admission limits of health checks: each connection has a budget of its own.

Health checks need no token, and the kubelet restarts a pod whose checks fail. So calls on other connections must not
use up the budget of a connection: its first call of a kind is always admitted, further ones share a pool, and each
connection has an upper bound.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from grpc_server.errors import UnavailableError
from grpc_server.transport.call import Call
from grpc_server.transport.limits import RETRY_SECONDS, MemoryBudget, ReceiveSlots


class HealthAdmission:
    """A memory budget for each connection, and slots for receiving messages.

    Parameters
    ----------
    slots
        The slots, shared by all connections.
    own_bytes
        Bytes reserved for each connection.
    max_bytes
        Bytes that one connection may hold, from its own and from the pool.
    pool_bytes
        Bytes that all connections share beyond their own.
    """

    def __init__(self, slots: ReceiveSlots, *, own_bytes: int, max_bytes: int, pool_bytes: int) -> None:
        self.slots = slots
        self._own_bytes = own_bytes
        self._max_bytes = max_bytes
        self._pool = MemoryBudget(pool_bytes)
        # A budget lives as long as a call of its connection holds it.
        self._budgets: WeakValueDictionary[str, _ConnectionBudget] = WeakValueDictionary()

    def budget_for(self, call: Call) -> MemoryBudget:
        """Return the budget of the connection that `call` came on."""
        peer = call.peer()
        budget = self._budgets.get(peer)
        if budget is None:
            budget = self._budgets[peer] = _ConnectionBudget(self._own_bytes, self._max_bytes, self._pool)
        return budget


class _ConnectionBudget(MemoryBudget):
    def __init__(self, own_bytes: int, max_bytes: int, pool: MemoryBudget) -> None:
        super().__init__(max_bytes)
        self._own_bytes = own_bytes
        self._pool = pool

    def take(self, count: int) -> int:
        """Reserve `count` bytes: the connection's own first, then the pool's."""
        if self.taken + count > self._max_bytes:
            raise UnavailableError("too many health checks on one connection", RETRY_SECONDS)
        self._pool.take(self._beyond(self.taken + count) - self._beyond(self.taken))
        return super().take(count)

    def give_back(self, count: int) -> None:
        """Free `count` bytes: the pool's first."""
        self._pool.give_back(self._beyond(self.taken) - self._beyond(self.taken - count))
        super().give_back(count)

    def _beyond(self, taken: int) -> int:
        return max(0, taken - self._own_bytes)
