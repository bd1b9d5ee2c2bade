"""`featurestore model record|list`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table
from featurestore.cli.project import open_store
from featurestore.timeline import format_instant, short_instant

if TYPE_CHECKING:
    from featurestore.registry.base import ModelRecord

app = typer.Typer(help="Models trained on features, and what each learned from.", no_args_is_help=True)


@app.command("record")
def record(
    name: Annotated[str, typer.Argument(help="The model.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset it learned from: NAME or NAME@VERSION.")] = None,
    service: Annotated[str | None, typer.Option(help="Service it learned from, when no dataset was saved.")] = None,
    uri: Annotated[str | None, typer.Option(help="Where it lies: a path in the project, or a URI.")] = None,
    digest: Annotated[str | None, typer.Option(help="SHA-256 of its file; computed when the file is here.")] = None,
    notes: Annotated[str, typer.Option(help="What people should know.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Record a trained model. Plans and lineage then know what it rests on."""
    with open_store() as store:
        model = store.record_model(name, dataset=dataset, service=service, uri=uri, digest=digest, notes=notes)
    if as_json:
        print_json(_document(model))
    else:
        console().print(f"Recorded model {model.name} v{model.version}, which learned from {_origin(model)}.")


@app.command("list")
def list_models(as_json: JsonFlag = False) -> None:
    """List the recorded models, the newest first."""
    with open_store() as store:
        models = store.registry.models()
    if as_json:
        print_json([_document(model) for model in models])
    elif models:
        print_table(
            ("model", "version", "learned from", "views", "recorded at", "by", "uri", "notes"),
            [
                (
                    m.name,
                    m.version,
                    _origin(m),
                    _views(m),
                    short_instant(m.recorded_at_us),
                    m.recorded_by,
                    m.uri,
                    m.notes,
                )
                for m in models
            ],
        )
    else:
        console().print("No model is recorded. `featurestore model record NAME --dataset DATASET` records one.")


def _origin(model: ModelRecord) -> str:
    if model.dataset is not None:
        return f"dataset {model.dataset} v{model.dataset_version}"
    return f"service {model.service} at revision {model.revision}"


def _views(model: ModelRecord) -> str:
    return ", ".join(f"{view} v{version}" for view, version in model.views.items())


def _document(model: ModelRecord) -> dict[str, object]:
    document = asdict(model)
    document["recorded_at"] = format_instant(document.pop("recorded_at_us"))
    return document
