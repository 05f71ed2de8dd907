"""Calls a server with NVIDIA's `tritonclient`, sync and asyncio, and prints what it saw as one JSON object.

A process of its own: the client registers its messages under the names that ours have, and a process can hold only one.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as sync_client
from tritonclient.grpc import aio as aio_client
from tritonclient.utils import InferenceServerException

QUERIES = ["red shoes", "usb cable", ""]
TITLES = ["Red canvas sneakers, size 42", "USB-C cable é 2 m", "Cast iron pan"]
TOO_MANY_ROWS = 5000


async def observe(module: Any, address: str, model: str) -> dict[str, Any]:
    """Make every call; `module` is the sync client or the asyncio one, which have the same names."""
    client = module.InferenceServerClient(address)

    async def call(name: str, *args: Any, **more: Any) -> Any:
        answer = getattr(client, name)(*args, **more)
        return await answer if inspect.isawaitable(answer) else answer

    async def infer(queries: list[str], titles: list[str], shape: list[int], name: str = model, **more: Any) -> Any:
        inputs = [tensor("query", queries, shape if len(queries) > 1 else [1]), tensor("title", titles, shape)]
        return await call("infer", name, inputs, **more)

    async def refused(*args: Any, **more: Any) -> list[str]:
        try:
            await infer(*args, **more)
        except InferenceServerException as error:
            return [error.status(), error.message()]
        return ["OK", ""]

    column = await infer(QUERIES, TITLES, [3, 1], request_id="night-7", headers={"x-priority": "bulk"})
    wanted = [module.InferRequestedOutput("label")]
    broadcast = await infer(["red shoes"], TITLES, [3], outputs=wanted)
    many = ["a"] * TOO_MANY_ROWS
    seen = {
        "live": await call("is_server_live"),
        "ready": await call("is_server_ready"),
        "model_ready": await call("is_model_ready", model),
        "other_ready": await call("is_model_ready", "other"),
        "server": await call("get_server_metadata", as_json=True),
        "model": await call("get_model_metadata", model, as_json=True),
        "id": column.get_response().id,
        "shape": list(column.as_numpy("score").shape),
        "dtype": str(column.as_numpy("score").dtype),
        "scores": column.as_numpy("score").ravel().tolist()[:2],
        "last_is_nan": bool(np.isnan(column.as_numpy("score")[2, 0])),
        "labels": texts(column, "label"),
        "errors": texts(column, "error"),
        "broadcast_labels": texts(broadcast, "label"),
        "broadcast_score": broadcast.as_numpy("score"),
        "too_many": await refused(many, many, [TOO_MANY_ROWS]),
        "other_model": await refused(QUERIES, TITLES, [3], name="other"),
        "other_priority": await refused(QUERIES, TITLES, [3], headers={"x-priority": "urgent"}),
    }
    await call("close")
    return seen


def tensor(name: str, values: list[str], shape: list[int]) -> Any:
    """Make a BYTES input."""
    data = sync_client.InferInput(name, shape, "BYTES")
    data.set_data_from_numpy(np.array([value.encode() for value in values], dtype=object).reshape(shape))
    return data


def texts(result: Any, name: str) -> list[str]:
    """Read a BYTES output."""
    return [value.decode() for value in result.as_numpy(name).ravel()]


if __name__ == "__main__":
    modules = {"sync": sync_client, "aio": aio_client}
    print(json.dumps({kind: asyncio.run(observe(module, *sys.argv[1:])) for kind, module in modules.items()}))
