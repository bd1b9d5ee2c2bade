"""What both clients send and how they read what comes back; no connection here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from featurestore import errors
from featurestore.arrow import as_table, ipc_stream
from featurestore.definitions import FeatureService
from featurestore.dtypes import to_json
from featurestore.errors import (
    AccessRefusedError,
    ConfigurationError,
    FeatureStoreError,
    InputError,
    ServerError,
    ServerUnavailableError,
)
from featurestore.timeline import format_instant, instant_us

if TYPE_CHECKING:
    import httpx

    Features = str | FeatureService | Sequence[str]

ARROW = "application/vnd.apache.arrow.stream"
_REFUSED: dict[int, type[FeatureStoreError]] = {
    401: AccessRefusedError,
    403: AccessRefusedError,
    413: InputError,
    429: ServerUnavailableError,
    503: ServerUnavailableError,
}
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `safe` ones change nothing, or the same when sent twice, so they may be sent again."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] | None = None
    safe: bool = True


def features_call(
    features: Features,
    entities: Sequence[Mapping[str, object]],
    request: Sequence[Mapping[str, object]] | None,
    at: datetime | None,
) -> Call:
    """The call of `get_online_features`, answered in Arrow."""
    asked: dict[str, object] = {"entities": _rows("entities", entities)}
    match features:
        case FeatureService(name=name):
            asked["service"] = name
        case str() if ":" in features:
            asked["features"] = [features]
        case str():
            asked["service"] = features
        case _:
            asked["features"] = list(features)
    if request is not None:
        asked["request"] = _rows("request", request)
    if at is not None:
        asked["at"] = format_instant(instant_us(at, "at"))
    headers = {"accept": ARROW, "content-type": "application/json"}
    return Call("POST", "/v1/features", json.dumps(asked, allow_nan=False).encode(), headers)


def push_call(view: str, frame: object) -> Call:
    """The call of `push`: the rows travel as an Arrow stream. A push may be sent twice: it is idempotent."""
    content = ipc_stream(as_table(frame, "The frame to push"))
    return Call("POST", f"/v1/push/{quote(view, safe='')}", content, {"content-type": ARROW})


def _rows(what: str, rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    if isinstance(rows, Mapping | str) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"`{what}` is a list with a mapping for each row, such as [{{'customer': 'c01'}}].")
    return [_row(row) for row in rows]


def _row(row: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: object) -> object:
    """A value in the documented JSON form; numbers of numpy as Python's."""
    item = getattr(value, "item", None)
    own: object = item() if callable(item) else value
    if isinstance(own, datetime):
        instant_us(own, name)
    try:
        return to_json(own)  # type: ignore[arg-type]  # what is no value is refused below
    except TypeError as error:
        raise InputError(f"'{name}' is a {type(value).__name__}, which no feature or key can be.") from error


def read(response: httpx.Response) -> bytes:
    """The body of an answer; raises the error that the server tells of, as its own type where it is one of ours."""
    if response.is_success:
        return response.content
    raise _told(response)


class Attempts:
    """How often and until when one call is tried."""

    def __init__(self, call: Call, timeout: float, retries: int) -> None:
        self._until = time.monotonic() + timeout
        self._left = retries if call.safe else 0
        self._wait = _FIRST_WAIT_SECONDS

    @property
    def seconds_left(self) -> float:
        """How long the next attempt may take."""
        return max(self._until - time.monotonic(), 0.001)

    def wait_after(self, answer: httpx.Response | None) -> float | None:
        """How long to wait before trying again after an answer (None: there was none); None when it stands."""
        if self._left == 0 or (answer is not None and answer.status_code not in (429, 503)):
            return None
        said = "" if answer is None else answer.headers.get("retry-after", "")
        wait = min(float(said) if said.isdigit() else self._wait, _LONGEST_WAIT_SECONDS)
        if wait >= self.seconds_left:
            return None
        self._left -= 1
        self._wait *= 2
        return wait


def arguments(call: Call, seconds: float) -> dict[str, Any]:
    """What httpx is asked to send, within a time."""
    return {
        "method": call.method,
        "url": call.path,
        "content": call.content,
        "headers": call.headers,
        "timeout": seconds,
    }


def checked_url(url: str) -> str:
    """The address of a server; raises ConfigurationError for what is none."""
    scheme, _, host = url.partition("://")
    if scheme not in ("http", "https") or not host.strip("/"):
        raise ConfigurationError(f"'{url}' is no address of a server; write it as http://127.0.0.1:6566.")
    return url


def authorization(key: str | None) -> dict[str, str]:
    """The headers that carry a key."""
    return {} if key is None else {"authorization": f"Bearer {key}"}


def outcome(url: str, answer: httpx.Response | None, failure: Exception | None) -> bytes:
    """What came of a call: the body, or the error of a server that answered with one or not at all."""
    if answer is not None:
        return read(answer)
    raise ServerUnavailableError(
        f"The feature server at {url} does not answer ({type(failure).__name__}); check that it runs, and the address."
    ) from failure


def _told(response: httpx.Response) -> FeatureStoreError:
    kind, message = _error(response)
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, FeatureStoreError):
        return errors.told(known, message)
    return _REFUSED.get(response.status_code, ServerError)(message)


def _error(response: httpx.Response) -> tuple[str, str]:
    try:
        told = json.loads(response.content)["error"]
        return str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return (
            "",
            f"The server answered {response.status_code} {response.reason_phrase}; check that it is a feature server.",
        )
