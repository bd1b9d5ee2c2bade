"""Bodies in JSON, decoded; what is no such document is the caller's fault, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from serving.errors import bad_request

Body = TypeVar("Body")


def parsed(decode: Callable[[bytes], Body], body: bytes, kind: str = "not what this path takes") -> Body:
    """What `decode` makes of a body; raises Refused with 400, which says that the body is `kind`."""
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"The body is {kind}: {error}.") from error
