"""The client for threads."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import httpx

from featurestore.client.exchange import (
    Attempts,
    Call,
    arguments,
    authorization,
    checked_url,
    features_call,
    outcome,
    push_call,
)
from featurestore.client.result import ServedFeatures

if TYPE_CHECKING:
    from featurestore.client.exchange import Features

TIMEOUT_SECONDS = 5.0
RETRIES = 2


class Client:
    """Asks the feature server at `url`: `Client("http://127.0.0.1:6566", key)`; safe for threads, connections are kept.

    A call ends within `timeout` seconds. What may be sent twice is, up to `retries` times, when the server cannot be
    reached or asks to come again. Raises the errors of `featurestore.errors`: AccessRefusedError for a key that is
    missing, wrong or lacks the scope, ServerUnavailableError for a server that does not answer in time, and what
    `FeatureStore` raises for a wrong question.
    """

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._retries = retries
        self._http = httpx.Client(base_url=checked_url(url), headers=authorization(key))

    def get_online_features(
        self,
        features: Features,
        entities: Sequence[Mapping[str, object]],
        request: Sequence[Mapping[str, object]] | None = None,
        at: datetime | None = None,
    ) -> ServedFeatures:
        """As `FeatureStore.get_online_features`."""
        return ServedFeatures.read(self._send(features_call(features, entities, request, at)))

    def push(self, view: str, frame: object) -> Mapping[str, object]:
        """As `FeatureStore.push`; the report as the server tells it. Needs a key with the scope `push`."""
        report: Mapping[str, object] = json.loads(self._send(push_call(view, frame)))
        return report

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._url!r})"

    def _send(self, call: Call) -> bytes:
        attempts = Attempts(call, self._timeout, self._retries)
        while True:
            answer, failure = self._tried(call, attempts.seconds_left)
            wait = attempts.wait_after(answer)
            if wait is None:
                return outcome(self._url, answer, failure)
            time.sleep(wait)

    def _tried(self, call: Call, seconds: float) -> tuple[httpx.Response | None, Exception | None]:
        try:
            return self._http.request(**arguments(call, seconds)), None
        except httpx.HTTPError as error:
            return None, error
