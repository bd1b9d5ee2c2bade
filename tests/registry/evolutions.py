"""Random histories of a project: catalogs that are declared one after the other, and what is built meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from featurestore.plan.catalog import (
    Catalog,
    ExpressionText,
    Object,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    ServiceRecord,
    ViewRecord,
)
from featurestore.plan.fitting import misfit
from tests.plan.catalogs import feature, view

VIEWS, FEATURES, SERVICES = ("a", "b", "c"), ("f", "g", "h"), ("s", "t", "u")


@dataclass(frozen=True, slots=True)
class Step:
    """What is declared next, and which of the views are built then, and after that."""

    declared: Catalog
    built_when_applied: frozenset[str]
    built_later: frozenset[str]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Any declared catalog of a few views, on-demand views and services that fits itself."""
    views = {name: _view(draw, name) for name in VIEWS if draw(st.integers(0, 5))}
    objects: dict[tuple[str, str], Object] = {("view", name): record for name, record in views.items()}
    with_on_demand = draw(st.booleans())
    if views and with_on_demand:
        inputs = tuple(_part(draw, record, typed=True) for record in _some(draw, views))
        computation = ExpressionText(features=(("x", draw(st.sampled_from("pq"))),))
        features = (("x", "Float64"), ("y", "Float64"))[: draw(st.integers(1, 2))]
        objects["on_demand", "d"] = OnDemandRecord(name="d", inputs=inputs, features=features, computation=computation)
    for name in SERVICES if views else ():
        if draw(st.booleans()):
            members: list[Projected | OnDemandMember] = [_part(draw, record) for record in _some(draw, views)]
            if ("on_demand", "d") in objects and draw(st.booleans()):
                members.append(OnDemandMember(view="d", features=draw(st.sampled_from([(), ("x",)]))))
            objects["service", name] = ServiceRecord(name=name, members=tuple(members))
    declared = Catalog.of(objects, {})
    for record in (*declared.services.values(), *declared.on_demand.values()):
        assert isinstance(record, ServiceRecord | OnDemandRecord)
        assert misfit(record, declared) is None
    return Step(
        declared, frozenset(draw(st.sets(st.sampled_from(VIEWS)))), frozenset(draw(st.sets(st.sampled_from(VIEWS))))
    )


def _view(draw: st.DrawFn, name: str) -> ViewRecord:
    features = draw(st.lists(st.sampled_from(FEATURES), min_size=1, max_size=3, unique=True))
    types = [draw(st.sampled_from(["Float64", "Float64", "Int64"])) for _ in features]
    declared = [feature(f, dtype, stored="") for f, dtype in zip(features, types, strict=True)]
    return view(name, *declared, ttl_us=draw(st.integers(1, 2)))


def _some(draw: st.DrawFn, views: dict[str, ViewRecord]) -> list[ViewRecord]:
    return [views[name] for name in draw(st.lists(st.sampled_from(sorted(views)), min_size=1, max_size=2, unique=True))]


def _part(draw: st.DrawFn, record: ViewRecord, *, typed: bool = False) -> Projected:
    names = draw(st.lists(st.sampled_from([f.name for f in record.features]), min_size=1, max_size=2, unique=True))
    return Projected(
        view=record.name,
        features=tuple(names),
        keys=(("airport", "airport"),),
        prefix="" if typed else record.name,
        types=tuple(record.output(name).dtype for name in names) if typed else (),
    )
