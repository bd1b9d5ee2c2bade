"""A project with a champion, made once; each test works on a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.promotion import approve
from pipelines.rooms import PipelineRooms
from pipelines.running import run_pipeline
from tests.pipelines.projects import MODEL_GATE, Shop, day, make_project, opened, served_here


@pytest.fixture(scope="session")
def first_candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("candidate")
    make_project(root)
    store, _ = opened(root, day(20, 12))
    with store:
        run_pipeline(store, "returned", server=served_here(root))
    return root


@pytest.fixture(scope="session")
def _first_champion(first_candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(first_candidate, tmp_path_factory.mktemp("champion") / "shop")
    store, _ = opened(root, day(20, 12))
    with store:
        approve(PipelineRooms(store), "returned", 1, "the first one", server=served_here(root))
    return root


@pytest.fixture
def shop(_first_champion: Path, tmp_path: Path) -> Iterator[Shop]:
    """The project with champion v1, two days after it was trained."""
    root = tmp_path / "shop"
    shutil.copytree(_first_champion, root)
    store, clock = opened(root, day(22, 12))
    with store:
        yield Shop(root, store, clock)


@pytest.fixture
def new_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """A project that has no model yet, on January 20; the definitions can be changed."""
    shops: list[Shop] = []

    def make(model_gate: str = MODEL_GATE) -> Shop:
        root = tmp_path / f"shop{len(shops)}"
        make_project(root, model_gate=model_gate)
        shops.append(Shop(root, *opened(root, day(20, 12))))
        return shops[-1]

    yield make
    for made in shops:
        made.store.close()
