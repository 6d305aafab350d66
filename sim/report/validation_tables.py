"""The tables of a validation's report: for each strategy its disruptions, the sets of its messages, and what parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sim.measure.agreement import Row
from sim.measure.ensemble import TOGETHER
from sim.report.figures_zoom import KINDS
from sim.report.numbers import NBSP, seconds
from sim.report.validation_evidence import ValidationEvidence, drive_of
from sim.report.validation_words import model_value, shown

#: Of the attempts after one disruption so many are shown that agree, and so many that part; the others are counted.
MOST_AGREEING, MOST_PARTING = 4, 12
MOST_MESSAGES = 30


@dataclass(frozen=True, slots=True)
class Line:
    """A compared quantity as text; `live` has a cell for each live run. `mark`: rests on a timer that the link does not have."""

    what: str
    model: str
    live: tuple[str, ...]
    difference: str
    tolerance: str
    agrees: bool
    mark: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What was compared around one disruption; `more` says what is not listed."""

    title: str
    lines: tuple[Line, ...]
    more: str = ""


@dataclass(frozen=True, slots=True)
class PartedMessage:
    """A value of a message that does not agree."""

    message: str
    line: Line


@dataclass(frozen=True, slots=True)
class StrategyTables:
    """Everything compared of one strategy."""

    strategy: str
    values: int
    parted: int
    groups: tuple[Group, ...]
    sets: tuple[Line, ...]
    messages: tuple[PartedMessage, ...]
    more_messages: int
    agreeing: str  # in words, of what is not listed


class _Rows:
    """Rows of one strategy by (where, what), in the worst run and in each."""

    def __init__(self, evidence: ValidationEvidence, strategy: str) -> None:
        self.strategy = strategy
        self.worst = {(row.where, row.what): row for row in evidence.of(strategy)}
        self._runs = evidence.by_key

    def line(self, where: str, what: str, words: str | None = None) -> Line:
        row = self.worst[where, what]
        return Line(
            words or what,
            model_value(row),
            tuple(self.live(where, what)),
            "" if row.difference is None or row.allowed_s is None else _signed(row.difference),
            "" if row.allowed_s is None else f"{row.allowed_s:.3f}",
            row.agrees,
            not row.comparable,
        )

    def live(self, where: str, what: str) -> Iterable[str]:
        for rows in self._runs:
            row = rows.get((self.strategy, where, what))
            yield "–" if row is None else shown(row.live)

    def places(self, beginning: str) -> list[str]:
        return list(dict.fromkeys(where for where, _ in self.worst if where.startswith(beginning)))


def _signed(value: float) -> str:
    text = f"{abs(value):.3f}"
    return text if float(text) == 0.0 else f"{'+' if value > 0 else '−'}{text}"


def tables(evidence: ValidationEvidence) -> list[StrategyTables]:
    return [_tables(evidence, strategy) for strategy in evidence.strategies if evidence.of(strategy)]


def _tables(evidence: ValidationEvidence, strategy: str) -> StrategyTables:
    rows = _Rows(evidence, strategy)
    mine = evidence.of(strategy)
    log = evidence.found.against_log
    parted = [row for row in mine if not row.agrees and row.where.startswith("message ")]
    kinds = dict(drive_of(evidence.model, 0, "messages", strategy).select("message", "kind").iter_rows())
    messages = [PartedMessage(_named(row.where, kinds), rows.line(row.where, row.what)) for row in parted]
    return StrategyTables(
        strategy,
        sum(row.comparable for row in mine),
        sum(not row.agrees for row in mine),
        tuple(_log_groups(rows) if log else _groups(evidence, rows)),
        () if log else tuple(_sets(evidence, rows)),
        tuple(messages[:MOST_MESSAGES]),
        max(len(messages) - MOST_MESSAGES, 0),
        _agreeing(mine),
    )


def _named(where: str, kinds: Mapping[int, str]) -> str:
    """A message with its kind, which the rows of flags do not say: ota 3."""
    name = where.removeprefix("message ")
    return f"{kinds[int(name)]} {name}" if name.isdigit() and int(name) in kinds else name


def _agreeing(rows: Sequence[Row]) -> str:
    """Of the messages: how many agree in everything, and how closely."""
    names: dict[str, bool] = {}
    off = 0.0
    for row in rows:
        if row.where.startswith("message "):
            name = row.where.rpartition(" ")[2]
            names[name] = names.get(name, True) and row.agrees
            if row.what == "delivered" and row.agrees and row.difference is not None:
                off = max(off, abs(row.difference))
    if not names:
        return ""
    good = sum(names.values())
    largest = f"; their deliveries differ by {seconds(off)} at most" if good and off else ""
    return f"{good:,} of {len(names):,} message{'s' if len(names) > 1 else ''} agree in every value{largest}."


def _groups(evidence: ValidationEvidence, rows: _Rows) -> Iterable[Group]:
    starts = [float(one["start_s"]) for one in evidence.disruptions]
    titles = [f"{KINDS.get(one['kind'], one['kind'])} at {one['start_s']:,.1f}{NBSP}s" for one in evidence.disruptions]
    places = [f"{one['kind']} at {one['start_s']:.1f} s" for one in evidence.disruptions]
    attempts: dict[int, list[str]] = {}
    for where in rows.places("attempt "):
        asked = rows.worst[where, "asked"]
        at = asked.model if isinstance(asked.model, float) else asked.at_s
        attempts.setdefault(sum(start <= at for start in starts) - 1, []).append(where)
    for number in range(-1, len(starts)):
        lines: list[Line] = []
        where = places[number] if number >= 0 else ""
        if (where, "detection") in rows.worst:
            lines.append(rows.line(where, "detection", "loss noticed"))
        shown_lines, more = _attempts(rows, attempts.get(number, []))
        lines += shown_lines
        lines += [rows.line(where, what) for what in ("first redelivery", "caught up") if (where, what) in rows.worst]
        beginning = where or "the beginning"
        lines += [rows.line(beginning, TOGETHER)] if (beginning, TOGETHER) in rows.worst else []
        if lines:
            yield Group(titles[number] if number >= 0 else "Before the first disruption", tuple(lines), more)
    for purpose, title in _EXCHANGES.items():
        shown_lines, more = _exchanges(rows, rows.places(f"{purpose} "))
        if shown_lines or more:
            yield Group(title, tuple(shown_lines), more)


#: Attempts beside those of the channel.
_EXCHANGES = {"heartbeat": "Heartbeats", "push": "Pushes", "poll": "Polls", "post": "POSTs of telemetry", "download": "Downloads"}


def _exchanges(rows: _Rows, places: Sequence[str]) -> tuple[list[Line], str]:
    """The values of exchanges that part; of the others how many agree, and how closely."""
    lines: list[Line] = []
    agreeing, off = 0, 0.0
    for where in places:
        mine = [rows.worst[where, what] for what in ("asked", "ready", "outcome") if (where, what) in rows.worst]
        parted = [row for row in mine if not row.agrees]
        agreeing += not parted
        off = max([off, *(abs(row.difference or 0.0) for row in mine if row.agrees)])
        lines += [rows.line(where, row.what, f"{where} {row.what}") for row in parted[: max(MOST_PARTING - len(lines), 0)]]
    more = (
        f"{agreeing:,} of {len(places):,} agree in begin, end and outcome, the largest difference {seconds(off)}."
        if places
        else ""
    )
    return lines, more


def _attempts(rows: _Rows, places: Sequence[str]) -> tuple[list[Line], str]:
    """Three lines for each attempt: asked, ready, and how it went."""
    lines, hidden, off = [], 0, 0.0
    room = {True: MOST_AGREEING, False: MOST_PARTING}
    for where in places:
        agrees = all(rows.worst[where, what].agrees for what in ("asked", "ready", "trigger", "outcome", "session_present"))
        if not room[agrees]:
            hidden += 1
            off = max(off, *(abs(rows.worst[where, what].difference or 0.0) for what in ("asked", "ready")))
            continue
        room[agrees] -= 1
        lines.append(rows.line(where, "asked", f"{where} asked"))
        if (rows.worst[where, "ready"].model, rows.worst[where, "ready"].live) != (None, None):
            lines.append(rows.line(where, "ready", f"{where} ready"))
        lines.append(_course(rows, where))
    if not hidden:
        return lines, ""
    return lines, f"{hidden:,} more attempt{'s' if hidden > 1 else ''}, the largest difference {seconds(off)}."


def _course(rows: _Rows, where: str) -> Line:
    """Why an attempt was made, how it ended, and the session that the broker had."""
    parts = [rows.line(where, what) for what in ("trigger", "outcome", "session_present")]
    model = _course_words([part.model for part in parts])
    live = [_course_words(list(cells)) for cells in zip(*(part.live for part in parts), strict=True)]
    return Line(
        f"{where} course",
        model,
        tuple("same" if cell == model else cell for cell in live),
        "",
        "",
        all(part.agrees for part in parts),
        any(part.mark for part in parts),
    )


def _course_words(cells: Sequence[str]) -> str:
    trigger, outcome, session = cells
    present = {"1": "session present", "0": "no session", "-1": "", "–": ""}
    said = " or ".join(dict.fromkeys(present.get(one, one) for one in session.split(" or ")))
    return ", ".join(word for word in (trigger.replace("_", " "), outcome, said) if word and word != "–") or "–"


def _log_groups(rows: _Rows) -> Iterable[Group]:
    """Of a field log: the connections, and the deliveries that name no message."""
    for title, kinds in (("Connections", ("connected", "disconnected")), ("Deliveries in their order", ("delivered",))):
        lines, hidden = [], 0
        room = {True: 3 * MOST_AGREEING, False: MOST_PARTING}
        for kind in kinds:
            if ("all", f"{kind}: number") in rows.worst:
                lines.append(rows.line("all", f"{kind}: number", f"{kind}, how often"))
            for where in rows.places(f"{kind} "):
                agrees = rows.worst[where, "time"].agrees
                if room[agrees]:
                    room[agrees] -= 1
                    lines.append(rows.line(where, "time", where))
                else:
                    hidden += 1
        if lines:
            yield Group(title, tuple(lines), f"{hidden:,} more in validation.csv." if hidden else "")


def _sets(evidence: ValidationEvidence, rows: _Rows) -> Iterable[Line]:
    """What became of the messages, counted on both sides; a set agrees where every message of it does."""
    strategy = rows.strategy
    model = [drive_of(evidence.model, number, "messages", strategy) for number in range(evidence.members)]
    live = [drive_of(one.run, 0, "messages", strategy) for one in evidence.found.comparisons]
    outcomes = [row for row in evidence.of(strategy) if row.what == "outcome" and not row.agrees and row.where.startswith("m")]
    arrivals = [row for row in evidence.of(strategy) if row.what == "arrivals" and not row.agrees]

    def line(words: str, count: Callable[[pl.DataFrame], int], agrees: bool) -> Line:
        return Line(words, _interval([count(one) for one in model]), tuple(f"{count(one):,}" for one in live), "", "", agrees)

    yield line("created", len, all(one.height == live[0].height for one in (*model, *live)))
    fates = dict.fromkeys(
        fate for one in (*model, *live) for fate in one.select("outcome", "cause").sort("outcome", "cause").iter_rows()
    )
    for outcome, cause in sorted(fates):
        name = f"{outcome} ({cause})" if cause else str(outcome)
        same = not any(name in (str(row.live), *str(row.model).split(" or ")) for row in outcomes)
        yield line(name.replace("_", " "), _counter(outcome, cause), same)
    twice = pl.col("arrivals") > 1
    yield line("arrived more than once", lambda frame: frame.filter(twice).height, not arrivals)
    flagged = [row for row in evidence.of(strategy) if row.what == "DUP"]
    if flagged:
        cells = [
            f"{sum('1' in str(row.live) for key, row in found.items() if key[0] == strategy and key[2] == 'DUP'):,}"
            for found in evidence.by_key
        ]
        with_flag = f"{sum('1' in str(row.model) for row in flagged):,}"
        yield Line("PUBLISH with DUP at the vehicle", with_flag, tuple(cells), "", "", all(row.agrees for row in flagged))
    for where, what in rows.worst:
        if what.startswith("attempts ("):
            yield rows.line(where, what)
        if where == "all" and what == TOGETHER:
            yield rows.line(where, what)
        if what.startswith("order of arrival"):
            yield _order(rows, where, what)


def _counter(outcome: str, cause: str) -> Callable[[pl.DataFrame], int]:
    return lambda frame: frame.filter((pl.col("outcome") == outcome) & (pl.col("cause") == cause)).height


def _order(rows: _Rows, where: str, what: str) -> Line:
    row = rows.worst[where, what]
    arrivals = "arrivals" if row.agrees else ""
    cells = tuple(f"{cell} {arrivals}".strip() for cell in rows.live(where, what))
    return Line(what, f"{shown(row.model)} {arrivals}".strip(), cells, "", "", row.agrees)


def _interval(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
