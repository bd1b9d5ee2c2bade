"""The plots of a model and of what its gates found, as SVG by title."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.ledger.records import GateResult
from pipelines.pages.charts import Frame, Range, bars, padded

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


def gate_plots(gates: Sequence[GateResult]) -> Iterator[tuple[str, str]]:
    """Title and SVG of the slices that the model gate, and the drift that the data gate, measured."""
    for details in _details(gates, "model"):
        for column, values in details.get("slices", {}).items():
            rows = details["rows"][column]
            shown = dict(sorted(values.items(), key=lambda item: -rows[item[0]])[:_SHOWN])
            if shown:
                notes = {value: f"{metric:.3f}" for value, metric in shown.items()}
                yield f"Slices by {column}", bars(shown, details["metric"], guide=details.get("all"), notes=notes)
    for details in _details(gates, "data"):
        for what, limit in details.get("thresholds", {}).items():
            moved = {c["column"]: c["distances"][what] for c in details["columns"] if what in c["distances"]}
            if moved:
                shown = dict(list(moved.items())[:_SHOWN])
                yield f"Drift ({what})", bars(shown, f"{what}, beside its threshold", guide=limit, notes={})


def _details(gates: Sequence[GateResult], gate: str) -> Iterator[dict[str, Any]]:
    for result in gates:
        report: Any = result.document.get("report", {})
        if result.gate == gate:
            yield from (check["details"] for check in report.get("checks", ()))
