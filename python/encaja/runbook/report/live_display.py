"""What a run looks like: live on a terminal, one line for each turn of events elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from encaja.runbook.book.model import Kind, Step
from encaja.runbook.durations import format_bytes, format_span
from encaja.runbook.record.journal import Attempt, Fault, GateState, Measure, Pass, Result
from encaja.runbook.record.step_states import CHECK, VERIFY, State, StepState
from encaja.runbook.record.workspace import Move
from encaja.runbook.run.execution import Ending
from encaja.runbook.run.runner_events import Signals

SYMBOLS = {
    State.DONE: ("✓", "green"),
    State.PENDING: ("·", "dim"),
    State.RUNNING: ("▸", "cyan"),
    State.INTERRUPTED: ("!", "yellow"),
    State.FAILED: ("✗", "bold red"),
    State.DIFFERENCES: ("≠", "bold red"),
    State.STALE: ("↻", "yellow"),
    State.WAITING: ("◆", "bold magenta"),
    State.REJECTED: ("✗", "bold red"),
    State.EXPIRED: ("◇", "yellow"),
}
OWNER_STYLE = {"contractor": "blue", "client": "magenta"}
PLAIN_SECONDS = 30.0
_OUTCOME = {
    Result.DONE: ("✓", "green"),
    Result.FAILED: ("✗", "bold red"),
    Result.DIFFERENCES: ("≠", "bold red"),
    Result.INTERRUPTED: ("!", "yellow"),
}


def share(measure: Measure) -> str:
    """How much of the whole is there: `45 %`; empty if the whole is unknown."""
    return f"{100 * measure.done / measure.total:.0f} %" if measure.total else ""


def amount(measure: Measure) -> str:
    """A measure in words: `12.3 GB of 30.2 GB · 8.1 MB/s · 2 min 12 s left`; only how much if the whole is unknown."""
    if measure.unit == "bytes":
        done, total = format_bytes(measure.done), format_bytes(measure.total)
        rate = f"{format_bytes(measure.rate)}/s"
    else:
        done, total = f"{measure.done:,.0f}", f"{measure.total:,.0f} {measure.unit}".strip()
        rate = f"{measure.rate:,.0f} {measure.unit}/s"
    if not measure.total:
        return done if measure.unit == "bytes" else f"{done} {measure.unit}".strip()
    parts = [f"{done} of {total}"]
    if measure.rate > 0:
        parts.append(rate)
        if measure.total > measure.done:
            parts.append(f"{format_span((measure.total - measure.done) / measure.rate)} left")
    return " · ".join(parts)


@dataclass
class _Now:
    """What is under way."""

    step: Step
    attempt: Attempt
    began: float = field(default_factory=time.monotonic)
    play: str = ""
    task: str = ""
    tasks: int = 0
    task_began: float = field(default_factory=time.monotonic)
    hosts: dict[str, str] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    line: str = ""


class TerminalDisplay:
    """Finished steps scroll by; the step under way stays at the bottom with its task, hosts, amounts and time left."""

    def __init__(
        self,
        console: Console,
        expected: Mapping[str, float] | None = None,
        *,
        interactive: bool = True,
        forecast: Callable[[], str] = str,
    ) -> None:
        """`expected` holds seconds by step id, from earlier passes or the run-book; `outlook` says when all is over."""
        self._forecast = forecast
        self._console = console
        self._expected = dict(expected or {})
        self._interactive = interactive and console.is_terminal
        self._live: Live | None = None
        self._now: _Now | None = None
        self._language = "en"
        self._places: dict[str, str] = {}
        self._printed = time.monotonic()
        self._width = 0
        self._todo: dict[str, float] = {}

    # The conductor's side

    def begin(self, move: Move, pass_: Pass, selected: Sequence[Step], states: Mapping[str, StepState]) -> None:
        """The run starts."""
        self._language = move.runbook.settings.language
        self._width = max(len(step.id) for step in selected)
        left = [step for step in selected if not states[step.id].done]
        self._todo = {step.id: self._expected.get(step.id, 0.0) for step in left if step.kind is not Kind.HUMAN}
        self._places = {step.id: f"{number}/{len(selected)}" for number, step in enumerate(selected, 1)}
        summary = f"{len(left)} of {len(selected)} steps to go" if left else "all of its steps are done"
        inventories = ", ".join(path.name for path in move.inventories) or "no inventory"
        self._console.print(
            f"[bold]encaja[/bold] · {escape(move.title)} · pass [bold]{escape(pass_.name)}[/bold] · "
            f"{escape(inventories)} · {summary}"
        )
        if self._console.is_terminal:
            self._live = Live(self._picture(), console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def note(self, text: str) -> None:
        """One line for the reader."""
        self._console.print(f"  [dim]{escape(text)}[/dim]")

    def skip(self, step: Step, state: StepState) -> None:
        """A step is done already."""
        self._line(
            "✓", "dim green", step, f"done before{', ' + format_span(state.seconds) if state.seconds else ''}", "dim"
        )

    def start(self, step: Step, attempt: Attempt) -> None:
        """An attempt starts."""
        self._now = _Now(step, attempt)
        self._todo.pop(step.id, None)
        if not self._live:
            again = f", attempt {attempt.number}" if attempt.number > 1 else ""
            self._line("▸", "cyan", step, {VERIFY: "verifying", CHECK: "checking"}.get(attempt.part, "started") + again)
        if attempt.hosts:
            self.note(f"  hosts: {', '.join(attempt.hosts)}")
        self.tick()

    def signals(self, step: Step, signals: Signals) -> None:
        """Something happened in the attempt."""
        del step
        current = self._now
        if current is None:
            return
        if signals.play is not None:
            current.play, current.line, current.hosts = signals.play, "", {}
        if signals.task is not None:
            current.task, current.tasks = signals.task, current.tasks + 1
            current.task_began = time.monotonic()
            current.hosts, current.measures = {}, {}
        for event in signals.events:
            if event.host:
                current.hosts[event.host] = event.kind
        for measure in signals.measures:
            current.measures[measure.host] = measure
        for host, message in signals.messages:
            current.hosts[host] = message
        if signals.log.strip() and not current.play and signals.play is None:
            current.line = signals.log.strip().splitlines()[-1]
        self.tick()

    def tick(self) -> None:
        """Time went by."""
        if self._live:
            return
        if self._now and time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            for measure in self._now.measures.values():
                self.note(f"  {measure.host}: {measure.name} {amount(measure)}")
            self.note(f"  {self._now.task or self._now.line} ({format_span(time.monotonic() - self._now.began)})")
            if text := self._forecast():
                self.note(f"  {text}")

    def end(self, step: Step, attempt: Attempt, ending: Ending, result: Result) -> None:
        """An attempt ended."""
        seconds = time.monotonic() - (self._now.began if self._now else time.monotonic())
        symbol, style = _OUTCOME[result]
        words = [format_span(seconds)]
        if attempt.part in (VERIFY, CHECK):
            words.append({VERIFY: "verification", CHECK: "check mode"}[attempt.part])
        if changed := ending.stats.get("changed"):
            words.append(f"{changed} changed")
        if result is not Result.DONE:
            words.append(str(result))
        self._now = None
        self._line(symbol, style, step, ", ".join(words))

    def failure(self, step: Step, attempt: Attempt, faults: Sequence[Fault], log: Path) -> None:
        """A step failed for good."""
        del attempt
        parts: list[RenderableType] = []
        for fault in faults:
            where = " · ".join(filter(None, [fault.host, fault.task]))
            parts.append(Text(fault.what, "bold red"))
            if where:
                parts.append(Text.assemble(("where  ", "dim"), where))
            lines = [line for line in fault.lines.splitlines() if line.strip() and line.strip() != fault.what]
            if lines:
                parts.append(Text("\n".join(f"  {line}" for line in lines), "dim"))
            parts.append(Text.assemble(("fix    ", "dim"), (fault.hint, "green")))
        undo = step.undo.get(self._language)
        if undo:
            parts.append(Text.assemble(("undo   ", "dim"), undo))
        parts.append(Text.assemble(("log    ", "dim"), str(log)))
        title = f"[bold red]{escape(step.id)}[/bold red] {escape(step.title.get(self._language))}"
        self._console.print(Panel(Group(*parts), title=title, title_align="left", border_style="red"))

    def gate(self, step: Step, state: GateState, by: str, expires: datetime | None) -> None:
        """A gate's state."""
        if state is GateState.APPROVED:
            self._line("✓", "green", step, f"approved by {by}")
        elif state is GateState.REJECTED:
            self._line("✗", "bold red", step, f"rejected by {by}")
        elif state is GateState.EXPIRED:
            self._line("◇", "yellow", step, "nobody decided in time; asking again")
        else:
            until = f", until {expires:%Y-%m-%d %H:%M} UTC" if expires else ""
            self._line("◆", "bold magenta", step, f"waits for the {step.owner}{until}")
            self.note(f"  encaja approve {step.id} --by NAME [--note TEXT]")
            self.note(f"  encaja reject {step.id} --by NAME --note TEXT")

    def ask(self, step: Step, question: str) -> tuple[GateState, str] | None:
        """A person's decision, asked for on the terminal."""
        if not self._interactive or not self._console.is_terminal:
            return None
        self._pause()
        try:
            self._console.print(f"[bold magenta]◆ {escape(step.id)}[/bold magenta] {escape(question)}")
            answer = Prompt.ask(
                "  approve, reject or later",
                choices=["approve", "reject", "later"],
                default="later",
                console=self._console,
            )
            if answer == "later":
                return None
            note = Prompt.ask("  note", default="", console=self._console)
        except (EOFError, KeyboardInterrupt):
            return None
        finally:
            self._resume()
        if answer == "reject" and not note:
            self.note("a rejection needs its reason; left waiting")
            return None
        return (GateState.APPROVED if answer == "approve" else GateState.REJECTED), note

    def finish(self) -> None:
        """The screen goes back to normal."""
        if self._live:
            self._live.stop()
            self._live = None

    # Drawing

    def _pause(self) -> None:
        if self._live:
            self._live.stop()

    def _resume(self) -> None:
        if self._live:
            self._live.start()

    def _line(self, symbol: str, style: str, step: Step, detail: str, tone: str = "") -> None:
        title = step.title.get(self._language)
        room = max(20, self._console.width - self._width - len(detail) - 16)
        title = title if len(title) <= room else title[: room - 1] + "…"
        place = self._places.get(step.id, "")
        line = Text.assemble(
            (f" {symbol} ", style),
            (f"{place:>6} ", "dim"),
            (f"{step.id:<{self._width}}  ", tone or "bold"),
            (f"{title:<{room}}  ", tone),
            (detail, tone or "cyan"),
        )
        self._console.print(line, soft_wrap=True)

    def _picture(self) -> RenderableType:
        return _Picture(self)

    def render(self) -> RenderableType:
        """The step under way."""
        current = self._now
        if current is None:
            return Text("")
        elapsed = time.monotonic() - current.began
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(width=2)
        head.add_column(ratio=1, no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        part = {VERIFY: " (verifying)", CHECK: " (check mode)"}.get(current.attempt.part, "")
        head.add_row(
            Text(" ▸", "bold cyan"),
            Text.assemble((current.step.id, "bold"), "  ", (current.step.title.get(self._language) + part, "")),
            Text.assemble((format_span(elapsed), "cyan"), (self._left(current, elapsed), "dim")),
        )
        body = Table.grid(padding=(0, 2))
        body.add_column(style="dim")
        body.add_column(no_wrap=True)
        if current.task or current.line:
            asked = time.monotonic() - current.task_began
            label = (
                f"task {current.tasks}" if current.task else ("command" if current.step.kind is Kind.COMMAND else "")
            )
            body.add_row(
                f"    {label}", Text.assemble(current.task or current.line, (f"  {format_span(asked)}", "dim"))
            )
        for host, measure in list(current.measures.items())[:8]:
            body.add_row(f"    {host}", self._bar(measure))
        for host, kind in [item for item in current.hosts.items() if item[0] not in current.measures][:8]:
            style = {"ok": "green", "changed": "yellow", "failed": "red", "unreachable": "red", "skipped": "dim"}.get(
                kind, ""
            )
            body.add_row(f"    {host}", Text(kind, style))
        ahead = sum(self._todo.values())
        after = [f"then {len(self._todo)} more steps of machines, about {format_span(ahead)}"] if ahead else []
        if text := self._forecast():
            after.append(text)
        return Group(head, body, Text(f"    {' · '.join(after)}", "dim")) if after else Group(head, body)

    @staticmethod
    def _bar(measure: Measure) -> RenderableType:
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(width=24)
        row.add_column(no_wrap=True)
        row.add_row(
            Text(measure.name),
            ProgressBar(total=measure.total or 1, completed=measure.done, width=24),
            Text.assemble((f"{share(measure):>5}", "bold"), "  ", (amount(measure), "dim")),
        )
        return row

    def _left(self, current: _Now, elapsed: float) -> str:
        lefts = [(m.total - m.done) / m.rate for m in current.measures.values() if m.rate > 0 and m.total > m.done]
        if lefts:
            return f" · about {format_span(max(lefts))} left"
        expected = self._expected.get(current.step.id)
        if expected and expected > elapsed:
            return f" · about {format_span(expected - elapsed)} left"
        return ""


class _Picture:
    """Draws the display whenever the terminal refreshes."""

    def __init__(self, display: TerminalDisplay) -> None:
        self._display = display

    def __rich__(self) -> RenderableType:
        return self._display.render()
