"""The plots of a model and of what its gates found, as SVG by title."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.ledger.records import GateResult
from pipelines.pages.charts import Frame, Range, bars, padded
from pipelines.pages.style import COLORS, PLOTS

_SHARE = Range(0.0, 1.0)
_SHOWN = 24


def model_plots(curves: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and SVG of each plot that `steps.evaluate.curves` has the points of."""
    if "roc" in curves:
        frame = Frame(_SHARE, _SHARE, "false positive rate", "true positive rate")
        yield "ROC", frame.draw(frame.line([(0, 0), (1, 1)], "guide"), frame.line(curves["roc"]))
        frame = Frame(_SHARE, _SHARE, "recall", "precision")
        yield "Precision and recall", frame.draw(frame.line(curves["precision_recall"]))
        frame, points = Frame(_SHARE, _SHARE, "mean score", "share of positives"), curves["calibration"]
        told = [(score, share) for score, share, _ in points]
        yield "Calibration", frame.draw(frame.line([(0, 0), (1, 1)], "guide"), frame.line(told), frame.dots(told, 3))
    if "fitted" in curves:
        points = curves["fitted"]
        seen = [value for pair in points for value in pair]
        both = padded(min(seen), max(seen))
        frame = Frame(both, both, "predicted", "actual")
        guide = frame.line([(both.low, both.low), (both.high, both.high)], "guide")
        yield "Predicted and actual", frame.draw(guide, frame.dots(points, 2.2, "faint"))
        edges, counts = curves["residuals"]["edges"], curves["residuals"]["counts"]
        frame = Frame(padded(edges[0], edges[-1]), padded(0, max(counts)), "actual minus predicted", "rows")
        yield "Residuals", frame.draw(frame.columns(edges, counts))
    if curves.get("importance"):
        shown = dict(list(curves["importance"].items())[:_SHOWN])
        yield "Feature importance", bars(shown, "loss when shuffled", notes={})


def slice_plots(checks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Title and SVG of the slices that checks of the model gate measured, the largest ones of each column."""
    for details in (check["details"] for check in checks):
        for column, values in details.get("slices", {}).items():
            rows = details["rows"][column]
            shown = dict(sorted(values.items(), key=lambda item: -rows[item[0]])[:_SHOWN])
            if shown:
                notes = {value: f"{metric:.3f}" for value, metric in shown.items()}
                yield f"Slices by {column}", bars(shown, details["metric"], guide=details.get("all"), notes=notes)


def drift_plots(checks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Title and SVG of the distances that checks of the data gate measured, beside their thresholds."""
    for details in (check["details"] for check in checks):
        for what, limit in details.get("thresholds", {}).items():
            moved = {c["column"]: c["distances"][what] for c in details["columns"] if what in c["distances"]}
            if moved:
                shown = dict(list(moved.items())[:_SHOWN])
                yield f"Drift ({what})", bars(shown, f"{what}, beside its threshold", guide=limit, notes={})


def gate_plots(gates: Sequence[GateResult]) -> Iterator[tuple[str, str]]:
    """Title and SVG of what gates measured."""
    for result in gates:
        report: Any = result.document.get("report", {})
        drawn = {"model": slice_plots, "data": drift_plots}.get(result.gate)
        if drawn is not None:
            yield from drawn(report.get("checks", ()))


def plot_files(plots: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """The plots as SVG files that need no page around them, by names such as `plot_roc`."""
    look = f"<style>{COLORS}{PLOTS}svg{{background:var(--card)}}</style>"
    return {
        "plot_" + re.sub(r"\W+", "_", title.lower()).strip("_"): svg.replace(">", f">{look}", 1).encode()
        for title, svg in plots
    }
