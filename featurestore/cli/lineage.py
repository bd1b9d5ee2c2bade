"""`featurestore describe --lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from featurestore.cli.output import print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.errors import InputError

if TYPE_CHECKING:
    from featurestore.lineage import Lineage, Node


def print_lineage(name: str | None, *, as_json: bool, mermaid: bool, svg: Path | None) -> None:
    """The lineage of a column or object, or of the whole project: as a tree, JSON, Mermaid text or an SVG file."""
    with open_store() as store:
        whole = store.lineage()
    found = whole if name is None else whole.around(name)
    if svg is not None:
        _write(svg, found.to_svg())
    if as_json:
        print_json(_document(found, whole, name) | ({} if svg is None else {"svg": str(svg)}))
    elif mermaid:
        typer.echo(found.to_mermaid(), nl=False)
    elif svg is not None:
        print_text(f"The drawing is in {svg}.")
    else:
        _print_tree(found)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def _document(found: Lineage, whole: Lineage, name: str | None) -> dict[str, object]:
    document: dict[str, object] = {
        "nodes": [{"id": _id(n), "kind": n.kind, "name": n.name, "column": n.column} for n in found.nodes],
        "edges": [{"from": _id(e.source), "to": _id(e.target), "use": e.use} for e in found.edges],
        "notes": list(found.notes),
    }
    if name is None:
        return document
    return {
        "of": [_id(node) for node in found.focus],
        "upstream": [_id(node) for node in whole.upstream(name)],
        "downstream": [_id(node) for node in whole.downstream(name)],
        **document,
    }


def _id(node: Node) -> str:
    return f"{node.kind} {node}"


def _print_tree(found: Lineage) -> None:
    from featurestore.lineage.tree import neighbours  # heavy, and most commands need none of it

    if not found.nodes:
        print_text("Nothing is applied. Run `featurestore apply`.")
    typer.echo(found.to_text(), nl=False)
    heads = any(node.column is None for node in found.focus)
    if heads and any(node.column is not None for node in found.focus):
        rows = [(node.column or "(rows)", *rest) for node, *rest in neighbours(found)]
        print_table(("column", "from", "into"), rows)
    for note in found.notes:
        print_text(f"Note: {note}")
