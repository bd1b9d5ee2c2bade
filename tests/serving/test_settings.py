"""The page on serving lists every setting with its default and its reason."""

from __future__ import annotations

import json

from featurestore.project.configuration import Serving
from tests.repository.tree import ROOT


def test_the_page_lists_each_setting_with_its_default_and_reason() -> None:
    rows = []
    for name, field in Serving.model_fields.items():
        default = field.default
        shown = f"{default:g}" if isinstance(default, float) else json.dumps(default).replace("null", "none")
        rows.append(f"| `{name}` | `{shown}` | {field.description} |")
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    assert page.rpartition("|---|---|---|\n")[2].splitlines() == rows
