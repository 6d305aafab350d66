"""Several runs of the model held against one live run, where a value depends on what cannot be set live.

That is the phase of a broker's tick, and whether something happens just before or just after a change of the link, where a
few milliseconds decide. Each value has to lie in the interval of the runs, or among their outcomes (`contained`); and all
values between two disruptions in those of one run (`coherent`), or they could not have come about together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sim.measure.agreement import Row

Key = tuple[str, str, str]
TOGETHER = "values together"


def neighbours(phases: int, edges: int) -> list[tuple[int, ...]]:
    """Members that one run can lie between: two adjacent phases of the tick (the last is followed by the first), one edge.

    Members stand by edge, and then by phase.
    """
    if phases == 1:
        return [(edge,) for edge in range(edges)]
    return [(edge * phases + at, edge * phases + (at + 1) % phases) for edge in range(edges) for at in range(phases)]


def contained(members: Sequence[Sequence[Row]]) -> list[Row]:
    """Rows of several runs of the model against one live run, as one: the live value has to lie in their interval or set.

    `members`: the rows of `compare_runs` for each. A quantity that only some of them have is compared with those.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for rows in members:
        for row in rows:
            groups.setdefault((row.strategy, row.where, row.what), []).append(row)
    return [_as_one(group) for group in groups.values()]


def _as_one(group: list[Row]) -> Row:
    first = group[0]
    values = {row.model for row in group}
    if len(values) == 1:
        return next((row for row in group if row.agrees), first)
    agrees = any(row.agrees for row in group)
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        said = " or ".join(sorted("-" if value is None else str(value) for value in values))
        return replace(first, model=said, agrees=agrees, difference=None)
    low, high = min(numbers), max(numbers)
    off: float | None = None
    if isinstance(first.live, float):
        off = first.live - min(max(first.live, low), high)
        agrees = agrees or off == 0.0
    return replace(first, model=low, model_to=high, difference=off, agrees=agrees)


def coherent(members: Sequence[Sequence[Row]], between: Sequence[tuple[int, ...]], episodes: Mapping[float, str]) -> list[Row]:
    """For each strategy and episode in which the members differ: whether one of them, or what lies between two, has all values.

    `between`: as of `neighbours`. `episodes`: beginning in s -> name; what comes before the first is "the beginning". Where a
    value is contained in no member the episode is left out: that is said of the value.
    """
    keyed = [{(row.strategy, row.where, row.what): row for row in rows} for rows in members]
    whole = {(row.strategy, row.where, row.what): row for row in contained(members)}
    groups: dict[tuple[str, str], list[Key]] = {}
    for key, row in whole.items():
        groups.setdefault((row.strategy, _episode(row, keyed, key, episodes)), []).append(key)
    found = []
    for (strategy, name), keys in groups.items():
        varies = any(len({rows[key].model for rows in keyed if key in rows} | _absent(keyed, key)) > 1 for key in keys)
        if not varies or not all(whole[key].agrees for key in keys):
            continue
        parted = {few: _parted(keyed, few, keys) for few in between}
        best = min(between, key=lambda few: len(parted[few]))
        at_s = min((whole[key].at_s for key in parted[best]), default=math.inf)
        said = "all" if not parted[best] else f"{len(keys) - len(parted[best])} of {len(keys)}"
        model = f"{len(keys)} values of one run"
        found.append(Row(strategy, name, TOGETHER, model, f"{said} of run {_names(best)}", None, not parted[best], at_s))
    return found


def _absent(keyed: Sequence[Mapping[Key, Row]], key: Key) -> set[str]:
    return {"absent"} if any(key not in rows for rows in keyed) else set()


def _parted(keyed: Sequence[Mapping[Key, Row]], few: tuple[int, ...], keys: Sequence[Key]) -> list[Key]:
    """Values that these members do not have; one that none of them knows parts where the live run has it."""
    found = []
    for key in keys:
        group = [keyed[member][key] for member in few if key in keyed[member]]
        if not group:
            there = next(rows[key] for rows in keyed if key in rows)
            agrees = there.live is None or not there.comparable
        else:
            agrees = _as_one(group).agrees
        if not agrees:
            found.append(key)
    return found


def _episode(row: Row, keyed: Sequence[Mapping[Key, Row]], key: Key, episodes: Mapping[float, str]) -> str:
    """The name of the last disruption that had begun when the value came about, live."""
    if row.where == "all":
        return "all"
    if row.where in episodes.values():
        return row.where
    # all values of a message, or of an attempt, belong where its timing does
    timed = next((rows[one] for rows in keyed for what in ("delivered", "asked") if (one := (*key[:2], what)) in rows), row)
    at_s = timed.live if isinstance(timed.live, float) else row.at_s
    begun = [start_s for start_s in episodes if start_s <= at_s]
    return episodes[max(begun)] if begun else "the beginning"


def _names(few: tuple[int, ...]) -> str:
    return " to ".join(str(member) for member in few)
