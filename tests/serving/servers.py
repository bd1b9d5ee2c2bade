"""Servers to ask: in this process, or as `featurestore serve` runs them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from featurestore.store import FeatureStore
from serving.app import create_app
from serving.gate import Gate
from tests.store.projects import NOW, PURCHASES, make_project, purchases


def shop(root: Path, definitions: str = PURCHASES) -> FeatureStore:
    """The example shop, applied and materialized up to March 1, 2024, where its clock stands."""
    store = make_project(root, definitions, purchases=purchases())
    store.apply()
    store.materialize(NOW)
    return store


class Asker:
    """Asks an application in this process, a request at a time."""

    def __init__(self, app: Gate) -> None:
        self.app = app

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, options))

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    def features(self, **question: object) -> httpx.Response:
        """The answer of POST /v1/features."""
        return self("POST", "/v1/features", json=question)


def serving(store: FeatureStore) -> Asker:
    """What asks the application that serves the project."""
    return Asker(create_app(store))
