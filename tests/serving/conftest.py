"""A shop that is served, shared by the tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.store import FeatureStore
from tests.serving.servers import Asker, serving, shop

collect_ignore = ["feast_client.py", "triton_client.py"]  # run by another interpreter, which has these clients


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    with shop(tmp_path_factory.mktemp("served")) as store:
        yield store


@pytest.fixture(scope="module")
def ask(store: FeatureStore) -> Asker:
    return serving(store)
