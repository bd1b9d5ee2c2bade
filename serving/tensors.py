"""Columns as tensors of the Open Inference Protocol: in JSON, or raw behind it (the extension `binary_tensor_data`).

A raw tensor lies in the body behind the JSON, whose length the header `Inference-Header-Content-Length` tells; numbers
are little-endian, a text is its length in four bytes and then itself. Each tensor has one value per row: its shape is
[rows] or [rows, 1].
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from featurestore.dtypes import DType
from serving import bodies
from serving.columns import encode
from serving.errors import bad_request
from serving.exchange import Answer, JsonValue, Request

EXTENSION = "binary_tensor_data"
HEADER_LENGTH = b"inference-header-content-length"
BINARY = b"application/octet-stream"
TEXT = "BYTES"

Column = list[JsonValue]

_SIZE = "binary_data_size"
_MOST_DIGITS = 18
_NUMPY = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_NAMES = {"Bool": "BOOL", "Float32": "FP32", "Float64": "FP64"}


class Tensor(msgspec.Struct):
    """An input of a request."""

    name: str
    datatype: str
    shape: list[int]
    data: list[JsonValue] | None = None
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct):
    """The JSON of a request; what it does not name is passed over, as the protocol lets servers do."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] | None = None
    parameters: dict[str, Any] = {}


class Output(NamedTuple):
    """A tensor of an answer: numbers as an array, texts as a list."""

    name: str
    datatype: str
    values: Sequence[Any]


_decode = msgspec.json.Decoder(InferenceRequest).decode


def datatype(dtype: DType) -> str:
    """The protocol's name of a type; what it has none for travels as text, in the form of JSON."""
    if dtype.name.startswith(("Int", "UInt")):
        return dtype.name.upper()
    return _NAMES.get(dtype.name, TEXT)


def parsed(request: Request) -> tuple[InferenceRequest, dict[str, Column]]:
    """The request and its inputs as equally long columns, by name; raises Refused for another form."""
    body, raw = request.body, b""
    given = request.headers.get(HEADER_LENGTH)
    if given is not None:
        if not given.isdigit() or len(given) > _MOST_DIGITS or int(given) > len(body):
            raise bad_request("Inference-Header-Content-Length is not the length of the JSON in the body.")
        body, raw = body[: int(given)], body[int(given) :]
    asked = bodies.parsed(_decode, body)
    wanted = [output.name for output in asked.outputs or ()]
    if len(set(wanted)) < len(wanted):
        raise bad_request("An output is asked for twice; name each once.")
    columns: dict[str, Column] = {}
    at = 0
    for tensor in asked.inputs:
        if tensor.datatype not in _NUMPY and tensor.datatype != TEXT:
            raise _wrong(tensor, f"there is no datatype '{tensor.datatype}'")
        size = tensor.parameters.get(_SIZE)
        if size is None:
            found = _flat(tensor)
        elif isinstance(size, int) and 0 <= size <= len(raw) - at:
            found = _raw(tensor, raw[at : at + size])
            at += size
        else:
            raise _wrong(tensor, f"{_SIZE} is beyond the body")
        rows = _rows(tensor)
        if len(found) != rows:
            raise _wrong(tensor, f"it has {len(found)} values and the shape {tensor.shape}")
        if tensor.name in columns:
            raise _wrong(tensor, "it is given twice")
        columns[tensor.name] = found
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise bad_request(f"The inputs have {sorted(lengths) or 'no'} rows; give one value per row in each.")
    return asked, columns


def written(head: dict[str, object], outputs: Iterable[Output], asked: InferenceRequest) -> Answer:
    """The answer: `head` and the outputs that were asked for, by default all, each in JSON or raw as was asked."""
    chosen = {output.name: output for output in outputs}
    everywhere = bool(asked.parameters.get("binary_data_output", False))
    wanted = [Wanted(name) for name in chosen] if not asked.outputs else asked.outputs
    tensors: list[dict[str, object]] = []
    raw: list[bytes] = []
    for one in wanted:
        if one.name not in chosen:
            raise bad_request(f"There is no output '{one.name}'; outputs are {', '.join(chosen)}.")
        output = chosen[one.name]
        tensor: dict[str, object] = {"name": output.name, "datatype": output.datatype, "shape": [len(output.values)]}
        if one.parameters.get("binary_data", everywhere):
            raw.append(_packed(output))
            tensors.append({**tensor, "parameters": {_SIZE: len(raw[-1])}})
        else:
            tensors.append({**tensor, "data": list(output.values)})
    document = encode({**head, "outputs": tensors})
    if not raw:
        return Answer(document)
    headers = ((HEADER_LENGTH, b"%d" % len(document)),)
    return Answer(b"".join([document, *raw]), media_type=BINARY, headers=headers)


def _rows(tensor: Tensor) -> int:
    match tensor.shape:
        case [rows] | [rows, 1] if rows >= 0:
            return rows
    raise _wrong(tensor, f"its shape {tensor.shape} is neither [rows] nor [rows, 1]")


def _flat(tensor: Tensor) -> Column:
    if tensor.data is None:
        raise _wrong(tensor, "it has no data")
    found: Column = []
    for value in tensor.data:
        if isinstance(value, list):
            found += value
        else:
            found.append(value)
    return found


def _raw(tensor: Tensor, raw: bytes) -> Column:
    if tensor.datatype == TEXT:
        return _texts(tensor, raw)
    form = _NUMPY[tensor.datatype]
    if len(raw) % np.dtype(form).itemsize:
        raise _wrong(tensor, f"its {len(raw)} bytes are no whole number of values")
    values: Column = np.frombuffer(raw, form).tolist()
    return values


def _texts(tensor: Tensor, raw: bytes) -> Column:
    found: Column = []
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        text = raw[at + 4 : at + 4 + length]
        if len(text) != length:
            raise _wrong(tensor, "a text ends before its length")
        try:
            found.append(text.decode())
        except UnicodeDecodeError as error:
            raise _wrong(tensor, "a text is not UTF-8") from error
        at += 4 + length
    return found


def _packed(output: Output) -> bytes:
    if output.datatype == TEXT:
        encoded = [text.encode() for text in output.values]
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    return np.asarray(output.values, _NUMPY[output.datatype]).tobytes()


def _wrong(tensor: Tensor, why: str) -> Exception:
    return bad_request(f"Input '{tensor.name}': {why}.")
