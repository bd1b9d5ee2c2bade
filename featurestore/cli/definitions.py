"""`featurestore plan` and `featurestore apply`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore.cli.output import JsonFlag, console, print_json, print_text
from featurestore.cli.project import open_store

if TYPE_CHECKING:
    from featurestore.materialization.waiting import Waiting
    from featurestore.registry.diff import CatalogDiff, Change, Cost
    from featurestore.store import FeatureStore

_SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "metadata": ("·", "cyan"), "removed": ("-", "red")}
_KINDS = {
    "entity": "entities",
    "source": "sources",
    "view": "feature views",
    "on_demand": "on-demand views",
    "service": "services",
}


def plan(as_json: JsonFlag = False) -> None:
    """Show what `apply` would change. Says whom it touches, what must be backfilled and what that will cost."""
    with open_store() as store:
        planned = _planned(store)
    if as_json:
        print_json(plan_document(planned))
    else:
        print_plan(planned)


def apply(as_json: JsonFlag = False) -> None:
    """Apply the definitions in one transaction. What must be built serves in its earlier version until then."""
    with open_store() as store:
        planned = _planned(store)
        store.apply(planned)
        waiting = store.waiting()
    if as_json:
        document = {"applied": bool(planned.changes), "waiting": waiting_document(waiting)}
        print_json({**plan_document(planned), **document})
        return
    print_plan(planned)
    if planned.changes:
        console().print(f"Applied as revision {planned.base + 1}.", style="bold green")
        print_waiting(waiting)


def _planned(store: FeatureStore) -> CatalogDiff:
    """The plan; raises DefinitionError also when a training pipeline names what the files no longer declare."""
    from pipelines.loading import load_pipelines

    planned = store.plan()
    load_pipelines(store.root, store.configuration.definitions)
    return planned


def plan_document(planned: CatalogDiff) -> dict[str, object]:
    """The plan as JSON."""
    changes = [
        {
            "kind": change.kind,
            "name": change.name,
            "action": change.action,
            "from_version": change.from_version,
            "version": change.version,
            "details": list(change.details),
            "services": list(change.services),
            "models": list(change.models),
            "backfill": change.backfill,
            "republish": change.republish,
            "cost": None if change.cost is None else asdict(change.cost),
        }
        for change in planned.changes
    ]
    return {"base_revision": planned.base, "changes": changes}


def print_plan(planned: CatalogDiff) -> None:
    """The plan as a person reads it: by kind, each change with its sign and what follows from it."""
    out = console()
    if not planned.changes:
        out.print(f"Nothing to change: the definitions are what is applied (revision {planned.base}).")
        return
    for kind, title in _KINDS.items():
        changes = [change for change in planned.changes if change.kind == kind]
        if changes:
            out.print(title, style="bold")
        for change in changes:
            sign, style = _SIGNS[change.action]
            out.print(f"  [{style}]{sign}[/] {change.name}{_version(change)}{_consequence(change)}")
    counts = [f"{n} {label}" for action, label in _labels() if (n := planned.count(action))]  # type: ignore[arg-type]  # the four actions
    out.print(f"{', '.join(counts)} (on revision {planned.base}).")
    backfills = [change for change in planned.changes if change.backfill]
    for change in backfills:
        print_text(f"To materialize: {change.name}{_cost(change.cost)}.")


def waiting_document(waiting: Sequence[Waiting]) -> list[dict[str, object]]:
    """What waits as JSON."""
    return [asdict(one) for one in waiting]


def print_waiting(waiting: Sequence[Waiting]) -> None:
    """What does not serve as applied yet, a line each, with the reason."""
    for one in waiting:
        match one.kind, one.serves:
            case "view", None:
                serves = "does not serve"
            case "view", version:
                serves = f"serves v{version}"
            case _:
                serves = "serves as before"
        print_text(f"{one.name} {serves}: {one.reason}.")


def _cost(cost: Cost | None) -> str:
    if cost is None:
        return ""
    if not cost.rows:
        return ", no rows to read"
    rows = "1 row" if cost.rows == 1 else f"{cost.rows:,} rows"
    seconds = "less than 1 s" if cost.seconds < 1 else f"about {cost.seconds:,.0f} s"
    return f", {rows}, {seconds} ({cost.basis})"


def _labels() -> tuple[tuple[str, str], ...]:
    return (("added", "to add"), ("changed", "to change"), ("metadata", "in metadata only"), ("removed", "to remove"))


def _version(change: Change) -> str:
    if not change.version or change.action == "added":
        return ""
    since = f"v{change.from_version} -> " if change.from_version not in (None, change.version) else ""
    return f" [dim]{since}v{change.version}[/]"


def _consequence(change: Change) -> str:
    parts = []
    if change.action == "metadata":
        parts.append(f"{', '.join(change.details)}: metadata only, no new version")
    elif change.details:
        parts.append(", ".join(change.details))
    if change.action == "changed" and change.kind == "view":
        parts.append(
            "must be backfilled" if change.backfill else "published anew" if change.republish else "nothing to rebuild"
        )
    if change.services and change.action != "added":
        parts.append(f"touches service {', '.join(change.services)}")
    if change.models:
        parts.append(f"touches model {', '.join(change.models)}")
    return f"  [dim]{'; '.join(parts)}[/]" if parts else ""
