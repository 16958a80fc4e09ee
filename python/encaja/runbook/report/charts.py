"""Pictures of a run-book and of a pass, as SVG made by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from encaja.runbook.book.model import Owner
from encaja.runbook.durations import format_bytes, format_span
from encaja.runbook.record.journal import Measure

# Matplotlib is typed in part only.
mpl: Any = matplotlib
dates: Any = matplotlib.dates

INK, MUTED, GRID, PAPER = "#1c2733", "#6b7885", "#e3e8ed", "#ffffff"
COLOURS = {Owner.CONTRACTOR: "#2f6db5", Owner.CLIENT: "#c2603a"}
LIGHT = {Owner.CONTRACTOR: "#e4eefa", Owner.CLIENT: "#fbeae2"}
GOOD, BAD, WARN, CALM = "#2e8b57", "#c0392b", "#d99a1c", "#8fa3b8"
GAP = "#fdf3d7"
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titleweight": "bold",
    "xtick.color": MUTED,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "legend.frameon": False,
}


# A wait for a person, by how it ended.
WAITS = ("waited", "rejected", "expired")


@dataclass(frozen=True)
class Bar:
    """A stretch of a step on the timeline.

    `kind` is done, undone (it ended well, but the step is not done), failed or interrupted, or one of `WAITS`.
    """

    step: str
    owner: Owner
    begun: datetime
    ended: datetime
    kind: str


@dataclass(frozen=True)
class Band:
    """A forecast and what came of it, in seconds."""

    label: str
    low: float
    median: float
    high: float
    actual: float | None


def to_svg(figure: Figure, name: str) -> str:
    """A figure as an `<svg>` element that can stand inside a page; `name` keeps its ids apart from other pictures'."""
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def write_picture(figure: Figure, path: Path) -> None:
    """Writes a figure as SVG or PNG, by the path's ending."""
    with mpl.rc_context(STYLE):
        if path.suffix.lower() == ".png":
            FigureCanvasAgg(figure)
            figure.savefig(path, dpi=150, facecolor=PAPER)
        else:
            path.write_text(to_svg(figure, path.stem), encoding="utf-8")


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def timeline(bars: Sequence[Bar], words: Mapping[str, str], gap: tuple[datetime, datetime] | None = None) -> Figure:
    """When each step ran, by owner; failed stretches in red, waits for people hatched, the gap shaded."""
    order = list(dict.fromkeys(bar.step for bar in bars))
    with mpl.rc_context(STYLE):
        figure = _figure(10.5, 0.9 + 0.27 * max(len(order), 3))
        axes = figure.add_subplot()
        if gap:
            axes.axvspan(dates.date2num(gap[0]), dates.date2num(gap[1]), color=GAP, zorder=0)
        first = min(dates.date2num(bar.begun) for bar in bars)
        last = max(dates.date2num(bar.ended) for bar in bars)
        thin = max((last - first) / 400, 1e-9)
        for bar in bars:
            begun = dates.date2num(bar.begun)
            length = max(dates.date2num(bar.ended) - begun, thin)
            axes.barh(order.index(bar.step), length, left=begun, height=0.62, **_bar_style(bar))
        _rows(axes, order)
        axes.set_xlim(first - (last - first) * 0.01, last + (last - first) * 0.02)
        axes.xaxis_date()
        locator = dates.AutoDateLocator(minticks=3, maxticks=10)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, formats=_MOMENTS, offset_formats=_DAYS))
        _legend(figure, _timeline_legend({bar.kind for bar in bars}, words, gap=gap is not None))
    return figure


def _bar_style(bar: Bar) -> dict[str, Any]:
    colour = COLOURS[bar.owner]
    if bar.kind in WAITS:
        edge = {"rejected": BAD, "expired": WARN}.get(bar.kind, colour)
        return {"facecolor": LIGHT[bar.owner], "edgecolor": edge, "hatch": "////", "lw": 0.6}
    if bar.kind == "undone":
        return {"facecolor": PAPER, "edgecolor": colour, "lw": 0.8, "ls": ":"}
    if bar.kind == "done":
        return {"facecolor": colour, "edgecolor": colour}
    return {"facecolor": BAD if bar.kind == "failed" else WARN, "edgecolor": "none"}


def _timeline_legend(kinds: set[str], words: Mapping[str, str], *, gap: bool) -> list[Any]:
    hatched: dict[str, Any] = {"facecolor": "#f0f0f0", "hatch": "////"}
    marks: dict[str, dict[str, Any]] = {
        "undone": {"facecolor": PAPER, "edgecolor": MUTED, "ls": ":"},
        "rejected": {**hatched, "edgecolor": BAD},
        "expired": {**hatched, "edgecolor": WARN},
        "failed": {"color": BAD},
        "interrupted": {"color": WARN},
    }
    handles = [Patch(color=COLOURS[owner], label=words[owner]) for owner in Owner]
    handles.append(Patch(**hatched, edgecolor=MUTED, label=words["waiting"]))
    handles += [Patch(**style, label=words[kind]) for kind, style in marks.items() if kind in kinds]
    return [*handles, Patch(color=GAP, label=words["gap"])] if gap else handles


def _rows(axes: Any, names: Sequence[str]) -> None:
    """A row for each name, the first on top."""
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(length=0)
    axes.grid(axis="y", visible=False)


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)


_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
_UNITS_IN_IT = 3


def rates(measures: Sequence[Measure], words: Mapping[str, str]) -> Figure:
    """The rate of a transfer over time, with its mean, and how much had arrived."""
    start = measures[0].at
    measures = thinned(measures)
    passed = [(item.at - start).total_seconds() for item in measures]
    unit, length = next(item for item in _UNITS if passed[-1] > _UNITS_IN_IT * item[1] or item[1] == 1)
    axis = [value / length for value in passed]
    with mpl.rc_context(STYLE):
        figure = _figure(10.5, 2.7)
        axes = figure.add_subplot()
        values = [item.rate / 1e6 for item in measures]
        broken = [
            math.nan if number and item.attempt != measures[number - 1].attempt else value
            for number, (item, value) in enumerate(zip(measures, values, strict=True))
        ]
        axes.fill_between(axis, broken, color=LIGHT[Owner.CONTRACTOR], lw=0)
        axes.plot(axis, broken, color=COLOURS[Owner.CONTRACTOR], lw=1.4)
        mean = sum(values) / len(values)
        axes.axhline(mean, color=MUTED, lw=0.8, ls="--")
        label = f"{words['mean']} {format_bytes(mean * 1e6)}/s"
        axes.set_title(label, loc="left", color=MUTED, fontsize=8, fontweight="normal")
        axes.set_ylim(0, max(values) * 1.15 or 1)
        axes.set_xlim(axis[0], axis[-1] or 1)
        axes.set_ylabel("MB/s")
        axes.set_xlabel(words[unit])
        axes.tick_params(length=0)
        right = axes.twinx()
        right.plot(axis, [item.done / 1e9 for item in measures], color=COLOURS[Owner.CLIENT], lw=1.2)
        right.set_ylabel(f"GB {words['arrived']}", color=COLOURS[Owner.CLIENT])
        right.set_ylim(0, max(item.total for item in measures) / 1e9 * 1.15 or 1)
        right.grid(visible=False)
        right.tick_params(length=0, labelcolor=COLOURS[Owner.CLIENT])
    return figure


def thinned(measures: Sequence[Measure]) -> list[Measure]:
    """So many samples that a picture can show them: each stands for those before it, with their mean rate."""
    every = -(-len(measures) // _POINTS)
    groups: list[list[Measure]] = []
    for item in measures:
        if groups and len(groups[-1]) < every and groups[-1][-1].attempt == item.attempt:
            groups[-1].append(item)
        else:
            groups.append([item])
    return [replace(group[-1], rate=sum(item.rate for item in group) / len(group)) for group in groups]


def bands(items: Sequence[Band], words: Mapping[str, str]) -> Figure:
    """Forecast (90 % band and median) against actual, on a logarithmic scale."""
    with mpl.rc_context(STYLE):
        figure = _figure(10.5, 0.9 + 0.3 * max(len(items), 2))
        axes = figure.add_subplot()
        for row, item in enumerate(items):
            axes.plot([item.low, item.high], [row, row], color=CALM, lw=7, solid_capstyle="round", alpha=0.55)
            axes.plot([item.median], [row], marker="|", color=INK, ms=11, mew=2)
            if item.actual is not None:
                inside = item.low <= item.actual <= item.high
                axes.plot([item.actual], [row], marker="o", color=GOOD if inside else BAD, ms=6, zorder=3)
        _time_axis(axes)
        _rows(axes, [item.label or words["whole_sum"] for item in items])
        handles: list[Any] = [
            Line2D([], [], color=CALM, lw=7, alpha=0.55, label=words["band"]),
            Line2D([], [], color=INK, marker="|", ls="", ms=11, mew=2, label=words["median"]),
        ]
        if any(item.actual is not None for item in items):
            handles.append(Line2D([], [], color=GOOD, marker="o", ls="", label=words["actual_inside"]))
            handles.append(Line2D([], [], color=BAD, marker="o", ls="", label=words["actual_outside"]))
        _legend(figure, handles)
    return figure


def passes(steps: Sequence[str], values: Mapping[str, Mapping[str, float]]) -> Figure:
    """Each step's duration in several passes, side by side, on a logarithmic scale."""
    palette = ["#9db8d6", "#2f6db5", "#c2603a", "#2e8b57", "#8e5ea2"]
    names = list(values)
    height = 0.8 / len(names)
    with mpl.rc_context(STYLE):
        figure = _figure(10.5, 0.9 + (0.18 + 0.14 * len(names)) * max(len(steps), 2))
        axes = figure.add_subplot()
        for index, name in enumerate(names):
            rows = [row + (index - (len(names) - 1) / 2) * height for row in range(len(steps))]
            lengths = [values[name].get(step, 0.0) for step in steps]
            axes.barh(rows, lengths, height=height * 0.9, color=palette[index % len(palette)], label=name)
        _time_axis(axes)
        _rows(axes, steps)
        figure.legend(loc="outside lower center", ncols=len(names), fontsize=8)
    return figure


# Numbers alone: they read the same in every language.
_MOMENTS = ["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%H:%M:%S"]
_DAYS = ["", "%Y", "%Y", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d"]
_POINTS = 240
_TICKS = (0.1, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 10 * 3600, 86400, 3 * 86400, 10 * 86400)


def _time_axis(axes: Any) -> None:
    """A logarithmic axis of durations, with ticks that people use."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    while len(ticks) > 8:
        ticks = ticks[::2]
    axes.set_xticks(ticks, [format_span(tick).replace(".0 s", " s") for tick in ticks], minor=False)
    axes.set_xticks([], minor=True)
