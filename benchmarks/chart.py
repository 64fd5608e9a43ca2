"""The growth chart: ``.venv-bench/bin/python -m benchmarks.chart RESULTS.json PICTURE.svg``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

NAMES = {"datadog": "Datadog", "azure": "Azure"}
COLOURS = {"datadog": "#8957e5", "azure": "#1f8fe0"}
"""Readable on white and on black."""
MARKS = {"datadog": "o-", "azure": "s-"}
GREY = "#788089"


def main(arguments: Sequence[str]) -> int:
    results, picture = map(Path, arguments)
    series = growth(json.loads(results.read_text(encoding="utf-8"))["scenarios"])
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(series, picture)
    return 0


def growth(scenarios: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float, float]]]:
    """By API: rows, seconds (median), megabytes (10**6 bytes, the most) of the growth scenarios' complete rounds."""
    series: dict[str, list[tuple[int, float, float]]] = {}
    for one in scenarios:
        if one["part"] != "growth":
            continue
        points = series.setdefault(one["api"], [])
        if whole := [measured for measured in one["rounds"] if measured["verdict"] == "complete"]:
            wall_s = median(measured["wall_s"] for measured in whole)
            points.append((one["rows"], wall_s, max(measured["peak_bytes"] for measured in whole) / 1e6))
    return {api: sorted(points) for api, points in series.items()}


def draw(series: dict[str, list[tuple[int, float, float]]], picture: Path) -> None:
    """Time and memory side by side over rows, without background, in colours for light and dark pages."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    coloured = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    style = {
        **dict.fromkeys(coloured, GREY),
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "logferry",
    }
    plain = FuncFormatter(lambda value, _: f"{value:,g}" if value < 1_000_000 else f"{value / 1e6:g} million")
    with mpl.rc_context(style):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        for api, points in series.items():
            rows, times, memory = zip(*points, strict=True) if points else ((), (), ())
            left.plot(rows, times, MARKS[api], color=COLOURS[api], label=NAMES[api])
            right.plot(rows, memory, MARKS[api], color=COLOURS[api], label=NAMES[api])
        left.set(xscale="log", yscale="log", ylabel="seconds", title="Time of an export")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        right.set(xscale="log", ylabel="MB", title="Peak memory", ylim=(0, None))
        for axes in (left, right):
            axes.set_xlabel("rows in the window")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(plain)
                axis.set_minor_formatter(NullFormatter())
            axes.minorticks_off()
            axes.patch.set_visible(False)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, color=GREY, alpha=0.25, linewidth=0.6)
            axes.legend(frameon=False)
        figure.savefig(picture, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
