"""Asks our server with Triton's own client, as it comes from PyPI; prints what it was told. Run by its interpreter.

Argument: the server's address, without `http://`.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tritonclient.http as triton  # type: ignore[import-not-found]  # it lives in an environment of its own

_CUSTOMERS = np.array([b"a", b"nobody"], dtype=object)
_PRICES = np.array([5.0, 1.0])


def infer(client: triton.InferenceServerClient, *, binary: bool) -> dict[str, object]:
    """What the model predicts of two customers, asked in JSON or in bytes."""
    customer = triton.InferInput("customer", [2], "BYTES")
    price = triton.InferInput("price", [2], "FP64")
    customer.set_data_from_numpy(_CUSTOMERS, binary_data=binary)
    price.set_data_from_numpy(_PRICES, binary_data=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "prediction_id")]
    answer = client.infer("worth", [customer, price], outputs=outputs, request_id="q1")
    ids = [one.decode() if isinstance(one, bytes) else one for one in answer.as_numpy("prediction_id")]
    told = answer.get_response()
    return {"id": told["id"], "version": told["model_version"], "scores": answer.as_numpy("score").tolist(), "ids": ids}


def vector(client: triton.InferenceServerClient) -> list[float]:
    """What the model predicts of a whole vector, of which one input is unknown."""
    items, relative = (
        triton.InferInput(name, [2, 1], kind) for name, kind in (("items", "INT64"), ("relative", "FP64"))
    )
    items.set_data_from_numpy(np.array([[1], [3]]))
    relative.set_data_from_numpy(np.array([[0.5], [0.5]]))
    scores: list[float] = client.infer("worth", [items, relative], model_version="1").as_numpy("score").tolist()
    return scores


def refused(client: triton.InferenceServerClient) -> str:
    """What is said of a model that is not there."""
    try:
        client.get_model_metadata("other")
    except triton.InferenceServerException as error:
        return str(error)
    return ""


def main() -> None:
    """Ask everything that the protocol has."""
    client = triton.InferenceServerClient(sys.argv[1])
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "server": client.get_server_metadata(),
        "model_ready": [client.is_model_ready("worth"), client.is_model_ready("worth", "1")],
        "others_ready": [client.is_model_ready("worth", "2"), client.is_model_ready("other")],
        "model": client.get_model_metadata("worth"),
        "json": infer(client, binary=False),
        "binary": infer(client, binary=True),
        "vector": vector(client),
        "refused": refused(client),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
