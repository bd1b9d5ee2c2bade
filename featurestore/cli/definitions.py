"""`featurestore plan` and `featurestore apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.cli.output import JsonFlag, console, print_json, print_text
from featurestore.cli.project import open_store

if TYPE_CHECKING:
    from featurestore.registry.diff import CatalogDiff, Change

_SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "metadata": ("·", "cyan"), "removed": ("-", "red")}
_KINDS = {
    "entity": "entities",
    "source": "sources",
    "view": "feature views",
    "on_demand": "on-demand views",
    "service": "services",
}


def plan(as_json: JsonFlag = False) -> None:
    """Show what `apply` would change, whom it touches and what must be backfilled."""
    with open_store() as store:
        planned = store.plan()
    if as_json:
        print_json(plan_document(planned))
    else:
        print_plan(planned)


def apply(as_json: JsonFlag = False) -> None:
    """Apply the definitions in one transaction; refused when somebody applied since the plan."""
    with open_store() as store:
        planned = store.plan()
        store.apply(planned)
    if as_json:
        print_json({**plan_document(planned), "applied": bool(planned.changes)})
        return
    print_plan(planned)
    if planned.changes:
        console().print(f"Applied as revision {planned.base + 1}.", style="bold green")


def plan_document(planned: CatalogDiff) -> dict[str, object]:
    """The plan as JSON."""
    changes = [
        {
            "kind": change.kind,
            "name": change.name,
            "action": change.action,
            "version": change.version,
            "details": list(change.details),
            "services": list(change.services),
            "backfill": change.backfill,
            "republish": change.republish,
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
    backfills = [change.name for change in planned.changes if change.backfill]
    if backfills:
        print_text(f"To materialize: {', '.join(backfills)}.")


def _labels() -> tuple[tuple[str, str], ...]:
    return (("added", "to add"), ("changed", "to change"), ("metadata", "in metadata only"), ("removed", "to remove"))


def _version(change: Change) -> str:
    return f" [dim]v{change.version}[/]" if change.version and change.action != "added" else ""


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
    return f"  [dim]{'; '.join(parts)}[/]" if parts else ""
