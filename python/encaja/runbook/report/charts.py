"""Pictures of a run-book and of a pass, as SVG made by matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
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
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Path2D

from encaja.runbook.book.model import Kind, Owner, Step
from encaja.runbook.durations import format_bytes, format_span
from encaja.runbook.record.journal import Measure
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.tables import proof_text

# Matplotlib is typed in part only.
mpl: Any = matplotlib
dates: Any = matplotlib.dates

INK, MUTED, GRID, PAPER = "#1c2733", "#6b7885", "#e3e8ed", "#ffffff"
COLOURS = {Owner.CONTRACTOR: "#2f6db5", Owner.CLIENT: "#c2603a"}
LIGHT = {Owner.CONTRACTOR: "#e4eefa", Owner.CLIENT: "#fbeae2"}
GOOD, BAD, WARN, CALM = "#2e8b57", "#c0392b", "#d99a1c", "#8fa3b8"
_STYLE: dict[str, Any] = {
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
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def write_picture(figure: Figure, path: Path) -> None:
    """Writes a figure as SVG or PNG, by the path's ending."""
    with mpl.rc_context(_STYLE):
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
    with mpl.rc_context(_STYLE):
        figure = _figure(10.5, 0.9 + 0.27 * max(len(order), 3))
        axes = figure.add_subplot()
        if gap:
            axes.axvspan(dates.date2num(gap[0]), dates.date2num(gap[1]), color="#fdf3d7", zorder=0)
        first = min(dates.date2num(bar.begun) for bar in bars)
        last = max(dates.date2num(bar.ended) for bar in bars)
        thin = max((last - first) / 400, 1e-9)
        for bar in bars:
            begun = dates.date2num(bar.begun)
            length = max(dates.date2num(bar.ended) - begun, thin)
            row = order.index(bar.step)
            if bar.kind in WAITS:
                ended = {"rejected": BAD, "expired": WARN}.get(bar.kind, COLOURS[bar.owner])
                style: dict[str, Any] = {
                    "facecolor": LIGHT[bar.owner],
                    "edgecolor": ended,
                    "hatch": "////",
                    "lw": 0.6,
                }
            elif bar.kind == "undone":
                style = {"facecolor": PAPER, "edgecolor": COLOURS[bar.owner], "lw": 0.8, "ls": ":"}
            elif bar.kind == "done":
                style = {"facecolor": COLOURS[bar.owner], "edgecolor": COLOURS[bar.owner]}
            else:
                style = {"facecolor": BAD if bar.kind == "failed" else WARN, "edgecolor": "none"}
            axes.barh(row, length, left=begun, height=0.62, **style)
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(first - (last - first) * 0.01, last + (last - first) * 0.02)
        axes.xaxis_date()
        locator = dates.AutoDateLocator(minticks=3, maxticks=10)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, formats=_MOMENTS, offset_formats=_DAYS))
        axes.tick_params(length=0)
        axes.grid(axis="y", visible=False)
        handles = [Patch(color=COLOURS[owner], label=words[owner]) for owner in Owner]
        handles.append(Patch(facecolor="#f0f0f0", edgecolor=MUTED, hatch="////", label=words["waiting"]))
        if any(bar.kind == "undone" for bar in bars):
            handles.append(Patch(facecolor=PAPER, edgecolor=MUTED, ls=":", label=words["undone"]))
        for kind, colour in (("rejected", BAD), ("expired", WARN)):
            if any(bar.kind == kind for bar in bars):
                handles.append(Patch(facecolor="#f0f0f0", edgecolor=colour, hatch="////", label=words[kind]))
        if any(bar.kind == "failed" for bar in bars):
            handles.append(Patch(color=BAD, label=words["failed"]))
        if any(bar.kind == "interrupted" for bar in bars):
            handles.append(Patch(color=WARN, label=words["interrupted"]))
        if gap:
            handles.append(Patch(color="#fdf3d7", label=words["gap"]))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure


_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
_UNITS_IN_IT = 3


def rates(measures: Sequence[Measure], words: Mapping[str, str]) -> Figure:
    """The rate of a transfer over time, with its mean, and how much had arrived."""
    start = measures[0].at
    measures = thinned(measures)
    passed = [(item.at - start).total_seconds() for item in measures]
    unit, length = next(item for item in _UNITS if passed[-1] > _UNITS_IN_IT * item[1] or item[1] == 1)
    axis = [value / length for value in passed]
    with mpl.rc_context(_STYLE):
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
    with mpl.rc_context(_STYLE):
        figure = _figure(10.5, 0.9 + 0.3 * max(len(items), 2))
        axes = figure.add_subplot()
        for row, item in enumerate(items):
            axes.plot([item.low, item.high], [row, row], color=CALM, lw=7, solid_capstyle="round", alpha=0.55)
            axes.plot([item.median], [row], marker="|", color=INK, ms=11, mew=2)
            if item.actual is not None:
                inside = item.low <= item.actual <= item.high
                axes.plot([item.actual], [row], marker="o", color=GOOD if inside else BAD, ms=6, zorder=3)
        _time_axis(axes)
        axes.set_yticks(range(len(items)), [item.label or words["whole_sum"] for item in items])
        axes.set_ylim(len(items) - 0.4, -0.6)
        axes.tick_params(length=0)
        axes.grid(axis="y", visible=False)
        handles: list[Any] = [
            Line2D([], [], color=CALM, lw=7, alpha=0.55, label=words["band"]),
            Line2D([], [], color=INK, marker="|", ls="", ms=11, mew=2, label=words["median"]),
        ]
        if any(item.actual is not None for item in items):
            handles.append(Line2D([], [], color=GOOD, marker="o", ls="", label=words["actual_inside"]))
            handles.append(Line2D([], [], color=BAD, marker="o", ls="", label=words["actual_outside"]))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure


def passes(steps: Sequence[str], values: Mapping[str, Mapping[str, float]]) -> Figure:
    """Each step's duration in several passes, side by side, on a logarithmic scale."""
    palette = ["#9db8d6", "#2f6db5", "#c2603a", "#2e8b57", "#8e5ea2"]
    names = list(values)
    height = 0.8 / len(names)
    with mpl.rc_context(_STYLE):
        figure = _figure(10.5, 0.9 + (0.18 + 0.14 * len(names)) * max(len(steps), 2))
        axes = figure.add_subplot()
        for index, name in enumerate(names):
            rows = [row + (index - (len(names) - 1) / 2) * height for row in range(len(steps))]
            lengths = [values[name].get(step, 0.0) for step in steps]
            axes.barh(rows, lengths, height=height * 0.9, color=palette[index % len(palette)], label=name)
        _time_axis(axes)
        axes.set_yticks(range(len(steps)), list(steps))
        axes.set_ylim(len(steps) - 0.4, -0.6)
        axes.tick_params(length=0)
        axes.grid(axis="y", visible=False)
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


def drawing(move: Move, language: str, words: Mapping[str, str]) -> Figure:
    """The run-book as boxes and arrows: a panel for each phase, the contractor's steps above, the client's below."""
    runbook = move.runbook
    panels = [(phase, [step for step in runbook if step.phase == phase.number]) for phase in runbook.phases.values()]
    panels = [(phase, steps) for phase, steps in panels if steps]
    layouts = [_layout(steps) for _, steps in panels]
    columns = max(max(column for column, _ in layout.values()) for layout in layouts) + 1
    heights = [max(row for _, row in layout.values()) + 1.7 for layout in layouts]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.05 * columns + 0.4, 0.92 * sum(heights)), facecolor=PAPER)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-0.1, columns + 0.05)
        axes.set_ylim(sum(heights), 0)
        top = 0.0
        for (phase, steps), layout, height in zip(panels, layouts, heights, strict=True):
            heading = f"{words['phase']} {phase.number}: {phase.title.get(language)}"
            axes.text(0, top + 0.42, heading, fontsize=13, fontweight="bold", va="center")
            axes.text(
                columns, top + 0.42, f"{words['urgency']}: {words[phase.urgency]}", color=MUTED, ha="right", va="center"
            )
            axes.plot([0, columns], [top + 0.64, top + 0.64], color=GRID, lw=1)
            places = {step.id: (layout[step.id][0], top + 0.82 + layout[step.id][1]) for step in steps}
            for step in steps:
                title = step.title.get(language)
                what = words["human"] if step.action is None else move.fill(step.action.label)
                proof = words["itself"] if step.proof.text.en else proof_text(step, move, language)
                marks = f"✓ {proof}" if step.proven else ""
                marks += "  ↶" if step.undoable else ""
                _box(axes, step, places[step.id], (title, what, marks))
                for need in step.needs:
                    if need in places:
                        _arrow(axes, places[need], places[step.id], list(places).index(need) % 5 / 4)
            top += height
    return figure


_BOX_WIDTH, _BOX_HEIGHT = 0.84, 0.8


def _layout(steps: Sequence[Step]) -> dict[str, tuple[int, int]]:
    """Column (how many steps come before it in its phase) and row (the contractor's first) of each step."""
    known = {step.id: step for step in steps}
    columns: dict[str, int] = {}
    for step in steps:
        columns[step.id] = max((columns[need] + 1 for need in step.needs if need in known), default=0)
    taken: set[tuple[int, int]] = set()
    rows: dict[str, int] = {}
    base = 0
    for owner in (Owner.CONTRACTOR, Owner.CLIENT):
        own = [step for step in steps if step.owner is owner]
        for step in own:
            row = base
            while (columns[step.id], row) in taken:
                row += 1
            taken.add((columns[step.id], row))
            rows[step.id] = row
        base = max((rows[step.id] + 1 for step in own), default=base)
    return {step.id: (columns[step.id], rows[step.id]) for step in steps}


def _box(axes: Any, step: Step, place: tuple[float, float], texts: tuple[str, str, str]) -> None:
    (x, y), (title, what, marks) = place, texts
    colour = COLOURS[step.owner]
    human = step.kind is Kind.HUMAN
    axes.add_patch(
        FancyBboxPatch(
            (x, y), _BOX_WIDTH, _BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.06", facecolor=LIGHT[step.owner],
            edgecolor=colour, lw=1.2, ls="--" if human else "-", zorder=2,
        )
    )  # fmt: skip
    title = "\n".join(textwrap.wrap(title, 25)[:3])
    axes.text(x + 0.05, y + 0.07, title, fontsize=8, va="top", linespacing=1.15, zorder=3)
    marks = marks if len(marks) <= 29 else f"{marks[:24]}…{marks[-3:] if marks.endswith('↶') else ''}"
    axes.text(x + 0.05, y + _BOX_HEIGHT - 0.19, marks, fontsize=6.5, color=MUTED, va="bottom", zorder=3)
    what = what if len(what) <= 22 else what[:21] + "…"
    axes.text(
        x + 0.05, y + _BOX_HEIGHT - 0.07, what, fontsize=7, color=BAD if step.destructive else colour, va="bottom"
    )
    axes.text(
        x + _BOX_WIDTH - 0.05,
        y + _BOX_HEIGHT - 0.07,
        format_span(step.estimate),
        fontsize=7,
        color=MUTED,
        va="bottom",
        ha="right",
    )


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], shift: float) -> None:
    """An arrow with right angles that runs between the boxes, never through one.

    Args:
        axes: where.
        start: place of the box that is needed.
        end: place of the box that needs it.
        shift: from 0 to 1, where in a gap it runs, so that neighbours stay apart.
    """
    gap, lane = 1 - _BOX_WIDTH, 1 - _BOX_HEIGHT
    x, y = start[0] + _BOX_WIDTH, start[1] + _BOX_HEIGHT / 2
    to_x, to_y = end[0], end[1] + _BOX_HEIGHT / 2
    turn = x + gap * (0.2 + 0.4 * shift)
    points = [(x, y), (turn, y)]
    if end[0] - start[0] > 1:  # boxes lie between: over their heads
        over = end[1] - lane * (0.2 + 0.35 * shift)
        last = to_x - gap * (0.8 - 0.4 * shift)
        points += [(turn, over), (last, over), (last, to_y)]
    else:
        points += [(turn, to_y)]
    axes.add_patch(
        FancyArrowPatch(
            path=Path2D([*points, (to_x, to_y)]), arrowstyle="-|>", mutation_scale=9, color=MUTED, lw=0.9,
            fill=False, joinstyle="round", zorder=1,
        )
    )  # fmt: skip
