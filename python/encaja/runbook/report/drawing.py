"""The run-book as boxes and arrows."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Path2D

from encaja.runbook.book.model import Kind, Owner, Phase, Step
from encaja.runbook.durations import format_span
from encaja.runbook.record.workspace import Move
from encaja.runbook.report.charts import BAD, COLOURS, GRID, LIGHT, MUTED, PAPER, STYLE, mpl
from encaja.runbook.report.tables import proof_text

_BOX_WIDTH, _BOX_HEIGHT = 0.84, 0.8
_HEADING = 0.82


def draw_runbook(move: Move, language: str, words: Mapping[str, str]) -> Figure:
    """A panel for each phase, the contractor's steps above, the client's below."""
    steps_of = {phase.number: [step for step in move.runbook if step.phase == phase.number] for phase in _phases(move)}
    layouts = {number: _layout(steps) for number, steps in steps_of.items()}
    columns = 1 + max(column for layout in layouts.values() for column, _ in layout.values())
    heights = {number: max(row for _, row in layout.values()) + 1.7 for number, layout in layouts.items()}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.05 * columns + 0.4, 0.92 * sum(heights.values())), facecolor=PAPER)
        axes: Any = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-0.1, columns + 0.05)
        axes.set_ylim(sum(heights.values()), 0)
        top = 0.0
        for phase in _phases(move):
            _heading(axes, phase, (columns, top), language, words)
            layout = layouts[phase.number]
            places = {name: (column, top + _HEADING + row) for name, (column, row) in layout.items()}
            for step in steps_of[phase.number]:
                _box(axes, step, places[step.id], _texts(step, move, language, words))
            _arrows(axes, steps_of[phase.number], places)
            top += heights[phase.number]
    return figure


def _phases(move: Move) -> list[Phase]:
    """The phases that have steps."""
    used = {step.phase for step in move.runbook}
    return [phase for phase in move.runbook.phases.values() if phase.number in used]


def _heading(axes: Any, phase: Phase, corner: tuple[float, float], language: str, words: Mapping[str, str]) -> None:
    right, top = corner
    heading = f"{words['phase']} {phase.number}: {phase.title.get(language)}"
    axes.text(0, top + 0.42, heading, fontsize=13, fontweight="bold", va="center")
    urgency = f"{words['urgency']}: {words[phase.urgency]}"
    axes.text(right, top + 0.42, urgency, color=MUTED, ha="right", va="center")
    axes.plot([0, right], [top + 0.64, top + 0.64], color=GRID, lw=1)


def _texts(step: Step, move: Move, language: str, words: Mapping[str, str]) -> tuple[str, str, str]:
    """A box's title, what the step runs, and how it is verified and undone."""
    what = words["human"] if step.action is None else move.fill(step.action.label)
    proof = words["itself"] if step.proof.text.en else proof_text(step, move, language)
    marks = (f"✓ {proof}" if step.proven else "") + ("  ↶" if step.undoable else "")
    return step.title.get(language), what, marks


def _arrows(axes: Any, steps: Sequence[Step], places: Mapping[str, tuple[float, float]]) -> None:
    for step in steps:
        for need in step.needs:
            if need in places:
                _arrow(axes, places[need], places[step.id], list(places).index(need) % 5 / 4)


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
    style: dict[str, Any] = {
        "facecolor": LIGHT[step.owner],
        "edgecolor": colour,
        "lw": 1.2,
        "ls": "--" if human else "-",
    }
    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((x, y), _BOX_WIDTH, _BOX_HEIGHT, boxstyle=shape, zorder=2, **style))
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
    line = Path2D([*points, (to_x, to_y)])
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "color": MUTED, "lw": 0.9, "joinstyle": "round"}
    axes.add_patch(FancyArrowPatch(path=line, fill=False, zorder=1, **style))
