"""The features that a model version is asked with: its service as it was, each view in the version it learned from."""

from __future__ import annotations

from typing import TypeVar

from featurestore.errors import PipelineError
from featurestore.plan.catalog import (
    Catalog,
    Object,
    OnDemandRecord,
    ServiceRecord,
    ViewRecord,
    parse_reference,
)
from featurestore.registry.base import Registry
from pipelines.models.document import ModelDocument

R = TypeVar("R", bound=Object)


def learned_catalog(document: ModelDocument, registry: Registry) -> Catalog:
    """The catalog that answers as it did when the model learned, whatever is applied since.

    Raises PipelineError when the registry does not know a part of it any more.
    """
    service = document.signature.service
    found = registry.recorded("service", service, document.service_meaning or "")
    record = _known(found, ServiceRecord, "service", service)
    computed = {
        name: _known(registry.recorded("on_demand", name, meaning), OnDemandRecord, "on-demand view", name)
        for name, meaning in document.on_demand.items()
    }
    views: dict[str, ViewRecord] = {}
    pinned: dict[str, ViewRecord] = {}
    versions: dict[str, int] = {}
    for reference, version in document.views.items():
        name, pin = parse_reference(reference)
        forms = {form.version: form.record for form in registry.view_versions(name)}
        view = _known(forms.get(version), ViewRecord, "view", f"{name}@{version}")
        if pin is None:
            views[name], versions[name] = view, version
        else:
            pinned[reference] = view
            versions.setdefault(name, version)
    return Catalog(views=views, on_demand=computed, services={service: record}, versions=versions, pinned=pinned)


def _known(found: object, kind: type[R], what: str, name: str) -> R:
    if not isinstance(found, kind):
        raise PipelineError(
            f"The registry does not know {what} '{name}' as the model learned from it; restore the registry, or train "
            "the model again."
        )
    return found
