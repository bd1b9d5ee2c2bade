"""The client for an event loop."""

from __future__ import annotations

import asyncio
import json
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
from featurestore.client.synchronous import RETRIES, TIMEOUT_SECONDS

if TYPE_CHECKING:
    from featurestore.client.exchange import Features


class AsyncClient:
    """As `Client`, on one event loop: `async with AsyncClient(url, key) as client: await client...`."""

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._retries = retries
        self._http = httpx.AsyncClient(base_url=checked_url(url), headers=authorization(key))

    async def get_online_features(
        self,
        features: Features,
        entities: Sequence[Mapping[str, object]],
        request: Sequence[Mapping[str, object]] | None = None,
        at: datetime | None = None,
    ) -> ServedFeatures:
        """As `FeatureStore.get_online_features`."""
        return ServedFeatures.read(await self._send(features_call(features, entities, request, at)))

    async def push(self, view: str, frame: object) -> Mapping[str, object]:
        """As `FeatureStore.push`; the report as the server tells it. Needs a key with the scope `push`."""
        report: Mapping[str, object] = json.loads(await self._send(push_call(view, frame)))
        return report

    async def aclose(self) -> None:
        """Release the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._url!r})"

    async def _send(self, call: Call) -> bytes:
        attempts = Attempts(call, self._timeout, self._retries)
        while True:
            answer, failure = await self._tried(call, attempts.seconds_left)
            wait = attempts.wait_after(answer)
            if wait is None:
                return outcome(self._url, answer, failure)
            await asyncio.sleep(wait)

    async def _tried(self, call: Call, seconds: float) -> tuple[httpx.Response | None, Exception | None]:
        try:
            return await self._http.request(**arguments(call, seconds)), None
        except httpx.HTTPError as error:
            return None, error
