"""What the command line shows: progress while a run goes on, and the summary after it. Reads metrics, computes nothing new."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sim.measure.metrics_catalog import lookup

if TYPE_CHECKING:
    from rich.console import Console

#: Called with (units done, units in all, what is done now); with all of them done the rest takes seconds.


class Progress(Protocol):
    """Shows how far something is; `what` is counted, or what goes on once all is done."""

    def __call__(self, done: int, total: int, what: str = "") -> None: ...


_PLAIN_EVERY_S = 10.0
_LONGEST_LABEL = 24  # of the bar
_NARROWEST_NAME = 12  # column of names in the table of the summary; where it would be less the table is none
_VERDICT_STYLES = {"met": "green", "missed": "bold red", "undecided": "yellow"}


class NotPrinted(Exception):
    """What was to be printed on stdout could not be; one line."""


def say(text: str = "", *, error: bool = False) -> None:
    """Print a line; a reader that has gone (`| head`) is no error, nor a stderr that takes nothing.

    Raises:
        NotPrinted: stdout takes nothing, as on a full disk.
    """
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # closed by who started the program
        return
    try:
        print(text, file=stream, flush=True)
    except OSError as reason:
        # what is still buffered must not fail again when the interpreter exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not error and not isinstance(reason, BrokenPipeError):
            raise NotPrinted(f"stdout: {reason.strerror or reason}") from reason
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)


@contextlib.contextmanager
def nothing_else_on_stdout(active: bool) -> Iterator[None]:
    """Send what anybody prints meanwhile (a user's strategy, a worker) to stderr: --json promises one object."""
    if not active:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Yield a callable(done, total, what): a bar with the time left on a terminal, else a plain line now and then; on stderr."""
    if not sys.stderr.isatty():
        yield _plain_progress(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task(label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…", total=None, count="")
        started_s = time.monotonic()

        def show(done: int, total: int, what: str = "") -> None:
            if done == total:  # the bar has nothing more to say
                bar.update(task, total=None, count=what)
                return
            left_s = (time.monotonic() - started_s) / done * (total - done) if done else math.nan
            bar.update(task, completed=done, total=total, count=f"{done} of {total} {what}".rstrip() + _time_left(left_s))

        yield show


def _time_left(left_s: float) -> str:
    """As ", 1 min 20 s left"; "" while nothing is known."""
    if not math.isfinite(left_s):
        return ""
    minutes, seconds = divmod(math.ceil(left_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f", {hours} h {minutes} min left"
    return f", {minutes} min {seconds} s left" if minutes else f", {seconds} s left"


def _plain_progress(label: str) -> Progress:
    started_s = said_s = time.monotonic()

    def show(done: int, total: int, what: str = "") -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= _PLAIN_EVERY_S:
            said_s = now_s
            left_s = (now_s - started_s) / done * (total - done) if done else math.nan
            say(
                f"{label}: {what}" if done == total else f"{label}: {done} of {total} {what}".rstrip() + _time_left(left_s),
                error=True,
            )

    return show


def json_object(metrics: Mapping[str, Any], run_dir: Path, warnings: Sequence[str] = ()) -> str:
    """Return the one JSON object of --json; `warnings` are those of the scenario."""
    content = {
        "scenario": metrics.get("scenario"),
        "seed": metrics.get("seed"),
        "run_id": metrics.get("run_id"),
        "results_dir": str(run_dir),
        **({"fleet": metrics["fleet"]} if metrics.get("fleet") else {}),
        "objectives": metrics.get("objectives", []),
        "warnings": [*warnings, *metrics.get("warnings", [])],
        "strategies": metrics.get("strategies", {}),
    }
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def any_missed(metrics: Mapping[str, Any], strict: bool = False) -> bool:
    """Whether an objective was missed; `strict`: or is undecided."""
    wrong = ("missed", "undecided") if strict else ("missed",)
    return any(objective.get("verdict") in wrong for objective in metrics.get("objectives", []))


def print_summary(metrics: Mapping[str, Any], run_dir: Path, report: Path | None) -> None:
    """Print the objectives, the table of strategies and where the report is, on stdout."""
    from rich.console import Console
    from rich.text import Text

    # wide where nobody watches: a table cut to 80 columns would lose figures in a log
    watched = sys.stdout.isatty()
    shown = io.StringIO()
    console = Console(
        file=shown, force_terminal=watched, width=None if watched else 140, highlight=False, emoji=False, markup=False
    )
    drives = int(metrics.get("replications") or 1)
    fleet = metrics.get("fleet")
    storm = any("fleet.cut_off" in numbers["intervals"] for numbers in metrics.get("strategies", {}).values() if fleet)
    columns = _COLUMNS if fleet is None else _fleet_columns(1.0 / float(fleet["scale"]), storm)
    rows = {name: [cell(numbers, drives) for cell in columns.values()] for name, numbers in metrics.get("strategies", {}).items()}
    if fleet is not None:
        columns, rows = _with_data(columns, rows)
    unreached = any(_UNREACHED in cells for cells in rows.values())
    notes = ["lost and duplicates are sums over all drives"] if drives > 1 and fleet is None else []
    if fleet is not None:
        notes += _fleet_notes(fleet, drives)
    if unreached:
        notes.append(f"{_UNREACHED}: not by the end of the run")
    for objective in metrics.get("objectives", []):
        verdict = str(objective["verdict"])
        console.print(Text(f"{verdict:<9}", style=_VERDICT_STYLES.get(verdict, "")), Text(_objective_line(objective)), sep=" ")
    if metrics.get("objectives"):
        console.print()
    _print_rows(console, columns, rows)
    for note in notes:
        console.print(Text(note, style="dim"))
    for line in metrics.get("warnings", []):
        console.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    console.print()
    what = "drive" if fleet is None else "replication"
    console.print(Text(f"{drives} {what}{'s' if drives > 1 else ''}, results in {run_dir}"), soft_wrap=True)
    if report is not None:
        console.print(Text(f"report: {report}"), soft_wrap=True)
    say(shown.getvalue().removesuffix("\n"))


def _with_data(columns: Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Without the columns in which no row has anything."""
    some = [any(cells[at] != "-" for cells in rows.values()) for at in range(len(columns))]
    return (
        {heading: cell for (heading, cell), kept in zip(columns.items(), some, strict=True) if kept},
        {name: [cell for cell, kept in zip(cells, some, strict=True) if kept] for name, cells in rows.items()},
    )


def _print_rows(console: Console, columns: Sequence[str] | Mapping[str, Any], rows: Mapping[str, Sequence[str]]) -> None:
    """The strategies as a table or, where that does not fit, one below the other."""
    from rich.table import Table
    from rich.text import Text

    gap = 2 if console.width >= 100 else 1
    widths = [
        max(len(line) for line in (*heading.split("\n"), *cells)) for heading, *cells in zip(columns, *rows.values(), strict=True)
    ]
    if sum(widths) + gap * len(widths) + _NARROWEST_NAME > console.width:
        for name, cells in rows.items():
            console.print(Text(name, style="bold"))
            for heading, cell in zip(columns, cells, strict=True):
                words = heading.replace("-\n", "").replace("\n", " ").strip()
                console.print(Text(f"  {words:<14} {cell:>9}"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    table.add_column("\nstrategy", overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, cells in rows.items():
        table.add_row(Text(name), *cells)
    console.print(table)


def _objective_line(objective: Mapping[str, Any]) -> str:
    value, low, high = (objective.get(key) for key in ("value", "low", "high"))
    shown = "no value" if value is None else f"{value:.4g}"
    if low is not None and high is not None and low != high:
        shown += f" [{low:.4g}, {high:.4g}]"
    bound = str(objective["bound"]).replace("_", " ")
    return f"{objective['strategy']}: {objective['metric']} {bound}, is {shown}"


_UNREACHED = "> end"


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    # 99.96 % must not be read as "all of them"
    shown = f"{100 * share:.1f}"
    return "99.9" if share < 1.0 and shown == "100.0" else shown


def _time(numbers: Mapping[str, Any], name: str, count: str) -> str:
    value = lookup(numbers, name)
    if value is None or not math.isfinite(value):
        return _UNREACHED if lookup(numbers, count) else "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _delivered(numbers: Mapping[str, Any]) -> str:
    created, delivered = lookup(numbers, "all.created"), lookup(numbers, "all.delivered")
    return _percent(delivered / created if created and delivered is not None else None)


def _count(numbers: Mapping[str, Any], name: str, per: float = 1.0, digits: int = 0) -> str:
    value = lookup(numbers, name)
    return "-" if value is None else f"{value / per:,.{digits}f}"


#: Heading, in two lines so that the table fits a terminal of 80 columns, and the cell for (numbers, number of drives).
_COLUMNS: dict[str, Callable[[Mapping[str, Any], int], str]] = {
    "deliv-\nered %": lambda n, _drives: _delivered(n),
    "in 60\ns, %": lambda n, _drives: _percent(lookup(n, "all.delivered_within_60s")),
    "latency\np95 s": lambda n, _drives: _time(n, "all.latency_s.p95", "all.created"),
    "\nlost": lambda n, _drives: _count(n, "all.lost"),
    "dupli-\ncates": lambda n, _drives: _count(n, "all.duplicates"),
    "recov.\np95 s": lambda n, _drives: _time(n, "recovery_s.p95", "recovery_s.n"),
    "reach-\nable %": lambda n, _drives: _percent(lookup(n, "reachability")),
    "MB a\ndrive": lambda n, drives: _count(n, "bytes.total", 1e6 * drives, 2),
    "tries\na drive": lambda n, drives: _count(n, "attempts.total", drives, 1),
}


def _fleet_columns(each: float, storm: bool) -> dict[str, Callable[[Mapping[str, Any], int], str]]:
    """Columns of a fleet of which every simulated vehicle stands for `each`: means over the replications, the fleet's numbers.

    Where no fault cut anybody off (no `storm`) the update, the cells and lost connections have the place of the times back.
    """

    def mean(numbers: Mapping[str, Any], name: str) -> float | None:
        found: float | None = (numbers["intervals"].get(name) or {}).get("mean")
        return found

    def time(numbers: Mapping[str, Any], name: str) -> str:
        value = mean(numbers, name)
        if value is None:
            return _UNREACHED if name in numbers["intervals"] else "-"
        return f"{value:.1f}" if value < 100 else f"{value:.0f}"

    def counted(numbers: Mapping[str, Any], name: str, factor: float = 1.0) -> str:
        value = mean(numbers, name)
        return "-" if value is None else f"{value * factor:,.0f}"

    others = {
        "image\ncomplete s": lambda n, _drives: time(n, "ota.complete_s"),
        "image\n%": lambda n, _drives: _percent(mean(n, "ota.completed_share")),
        "recon-\nnections": lambda n, _drives: counted(n, "reconnections", each),
        "diagn. in\n10 s, %": lambda n, _drives: _percent(mean(n, "diagnostics.delivered_within_10s")),
    }
    return {
        "cut\noff": lambda n, _drives: counted(n, "fleet.cut_off"),
        "50 %\nback s": lambda n, _drives: time(n, "fleet.back_s.p50"),
        "95 %\nback s": lambda n, _drives: time(n, "fleet.back_s.p95"),
        "all\nback s": lambda n, _drives: time(n, "fleet.back_s.max"),
        "not\nback": lambda n, _drives: counted(n, "fleet.not_back"),
        **({} if storm else others),
        "SYNs/s\npeak": lambda n, _drives: counted(n, "fleet.connections_per_s"),
        "TLS/s\npeak": lambda n, _drives: counted(n, "fleet.handshakes_per_s"),
        "CPU\n%": lambda n, _drives: _percent(mean(n, "fleet.cpu_share")),
        "turned\naway": lambda n, _drives: counted(n, "fleet.turned_away"),
        "in 10\ns, %": lambda n, _drives: _percent(mean(n, "all.delivered_within_10s")),
        "in 60\ns, %": lambda n, _drives: _percent(mean(n, "all.delivered_within_60s")),
        "\nlost": lambda n, _drives: counted(n, "all.lost", each),
        "kB a\nvehicle": lambda n, _drives: counted(n, "fleet.bytes_per_vehicle", 1e-3),
    }


def _fleet_notes(fleet: Mapping[str, Any], replications: int) -> list[str]:
    vehicles, simulated = int(fleet["vehicles"]), int(fleet["simulated"])
    scaled = "all simulated" if simulated == vehicles else f"{simulated:,} simulated; counts are the fleet's"
    means = ", means over the replications" if replications > 1 else ""
    return [f"a fleet of {vehicles:,} vehicles, {scaled}{means}"]


def print_validation(found: Any, report: Path) -> None:
    """Both values and the difference of every timing and outcome that matters, and where the two part first."""
    from rich.console import Console
    from rich.table import Table

    from sim.measure.agreement import first_parting
    from sim.measure.lateness import OVERLOADED
    from sim.report.validation_words import nothing_compared

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (
        ("strategy", "left"),
        ("where", "left"),
        ("what", "left"),
        ("model", "right"),
        ("log" if found.against_log else "live", "right"),
        ("difference s", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    listed = ("message ", "push ", "poll ", "post ", "heartbeat ", "download ")  # in part only: there may be hundreds
    shown = [row for row in found.rows if not row.agrees or not row.where.startswith(listed)]
    for row in shown:
        difference = "" if row.difference is None else f"{row.difference:+.3f}"
        table.add_row(row.strategy, row.where, row.what, _model_cell(row), _cell(row.live), difference, _verdict_cell(row))
    drawn = io.StringIO()
    Console(file=drawn, force_terminal=sys.stdout.isatty(), width=max(100, Console().width)).print(table)
    say(drawn.getvalue().removesuffix("\n"))
    agreeing = sum(row.agrees and row.comparable for row in found.rows)
    of_runs = f", the worst of {len(found.comparisons)} live runs each" if len(found.comparisons) > 1 else ""
    apart = len(found.rows) - found.compared
    besides = f"; {apart} rest on timers of TCP and are not comparable on this link" if apart else ""
    if found.compared:
        hint = "(messages and exchanges that agree are not listed)"
        say(f"{agreeing} of {found.compared} compared values agree{of_runs} {hint}{besides}")
    else:
        say(f"nothing was compared: {nothing_compared(found)}")
    if found.overloaded:
        say(OVERLOADED)
    first = first_parting(found.rows)
    if first is not None:
        values = f"model {_model_cell(first)}, {'log' if found.against_log else 'live'} {_cell(first.live)}"
        say(f"first record where the two part: {first.strategy}, {first.where}, {first.what}: {values}")
    kind = "model and log" if found.against_log else "live run"
    for comparison in found.comparisons:
        say(f"{kind}, validation.csv: {comparison.run_dir}")
    say(f"report: {report}")


def validation_json(found: Any, report: Path) -> str:
    """One JSON object: the verdict and every compared value."""
    import dataclasses

    def plain(rows: Any) -> list[dict[str, Any]]:
        return [{**dataclasses.asdict(row), "at_s": row.at_s if math.isfinite(row.at_s) else None} for row in rows]

    runs = [{"results_dir": str(one.run_dir), "rows": plain(one.rows)} for one in found.comparisons]
    return json.dumps(
        {
            "agrees": found.agrees,
            "compared": found.compared,
            "overloaded": found.overloaded,
            "results_dir": str(found.run_dir),
            "report": str(report),
            "rows": plain(found.rows),
            "runs": runs,
        },
        allow_nan=False,
    )


def _verdict_cell(row: Any) -> str:
    return "not comparable" if not row.comparable else "" if row.agrees else "parts"


def _model_cell(row: Any) -> str:
    return _cell(row.model) if row.model_to is None else f"{_cell(row.model)} to {_cell(row.model_to)}"


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
