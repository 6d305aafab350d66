"""Which figures the report of a validation shows, and with what to see in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from sim.measure.agreement import Row
from sim.report.figures_agreement import Pair, differences, latency_pairs, pairs
from sim.report.figures_overlay import overlay
from sim.report.illustrations import Illustration
from sim.report.lanes import Lane
from sim.report.numbers import listed, percent, seconds
from sim.report.overlay import Instant, Overlay, parted_messages, whole_drive, zooms
from sim.report.validation_evidence import ValidationEvidence
from sim.report.validation_words import signed

#: Of what parts a caption names so many.
_MOST = 3


def overlays(evidence: ValidationEvidence) -> Iterator[Illustration]:
    """For each strategy the whole drive, then its disruptions close up; `section` is the strategy."""
    serial = count()
    for strategy in evidence.strategies:
        if not evidence.of(strategy):
            continue
        number = next(serial)
        view = whole_drive(evidence, strategy)
        title = f"{strategy}: the whole drive"
        yield Illustration(
            f"validation_drive_{number}", strategy, title, _drive_caption(view, _parted(evidence, view)), overlay(view), wide=True
        )
        close, total = zooms(evidence, strategy)
        for place, one in enumerate(close):
            caption = _zoom_caption(one)
            if place == len(close) - 1 and total > len(close):
                caption += f" {len(close)} of {total} disruptions are shown: those in which something parts, then the longest."
            yield Illustration(f"validation_zoom_{number}_{place}", strategy, f"{strategy}: {one.title}", caption, overlay(one))


def agreement_figures(evidence: ValidationEvidence) -> Iterator[Illustration]:
    """Latencies of both sides, and the differences of all timings, of all live runs."""
    rows = [row for one in evidence.found.comparisons for row in one.rows]
    side = "log" if evidence.found.against_log else "live"
    found = pairs(rows)
    if found:
        figure = latency_pairs(found, evidence.styles, evidence.found.tolerance, side)
        yield Illustration("validation_latency", "latency", "Latency of each message", _latency_caption(found), figure)
    timings = [row for row in rows if row.allowed_s is not None and row.difference is not None]
    if timings:
        figure = differences(timings, evidence.styles, evidence.found.tolerance, side)
        yield Illustration("validation_differences", "differences", "All timings", _differences_caption(timings, side), figure)


def _parted(evidence: ValidationEvidence, view: Overlay) -> dict[int, str]:
    if evidence.found.against_log:
        return dict(view.sides[-1].parted)
    found: dict[int, str] = {}
    for one in evidence.found.comparisons:
        found |= parted_messages(one.rows, view.strategy)
    return found


def _away(lane: Lane, view: Overlay) -> float:
    return sum(min(one.end_s, view.end_s) - one.start_s for one in lane.episodes if one.start_s < view.end_s)


def _drive_caption(view: Overlay, parted: Mapping[int, str]) -> str:
    """`parted`: the messages that part, by id; the lab's probes are not drawn."""
    model, *others = view.sides
    messages = model.lane.messages.height
    events = len(view.starts)
    heads = [f"{messages:,} message{'s' if messages != 1 else ''} and {events} disruption{'s' if events != 1 else ''}"]
    if model.lane.episodes and any(side.lane.episodes for side in others):
        live = [_away(side.lane, view) for side in others]
        low, high = seconds(min(live)), seconds(max(live))
        there = low if low == high else f"{low} to {high}"
        heads.append(f"out of reach for {seconds(_away(model.lane, view))} in the model, {there} {_other(view)}")
    text = f"{'; '.join(heads)}."
    if not view.parted:
        return f"{text} Every edge of the model's lane has its like below it; nothing is red, all values agree."
    drawn = {number for side in others for number in side.parted}
    parts = [*_parting(view), *_messages([parted[number] for number in parted if number in drawn])]
    hidden = [parted[number] for number in parted if number not in drawn]
    if parts:
        text += f" Red where the two part: {'; '.join(parts)}."
    return f"{text} Not drawn: {_some(hidden)}." if hidden else text


def _other(view: Overlay) -> str:
    """What stands beside the model: live | log."""
    return view.sides[-1].name.partition(" ")[0]


def _messages(names: Sequence[str]) -> list[str]:
    return [f"messages {_some(names)}" if len(names) > 1 else f"message {names[0]}"] if names else []


def _some(words: Sequence[str]) -> str:
    """The first few, and how many more."""
    return listed(list(words)) if len(words) <= _MOST else f"{', '.join(words[:_MOST])} and {len(words) - _MOST} more"


def _parting(view: Overlay) -> list[str]:
    """The instants that part, by the way in which they do."""
    parted = [one for one in view.instants if not one.agrees]
    alone = [f"“{one.words}”" for one in parted if one.model_s is None]
    never = [f"“{one.words}”" for one in parted if one.model_s is not None and any(live is None for live, _ in one.live_s)]
    far = [_far(one) for one in parted if one.model_s is not None and all(live is not None for live, _ in one.live_s)]
    return [
        *([_some(far)] if far else []),
        *([f"{_some(alone)} not in the model"] if alone else []),
        *([f"{_some(never)} never {_other(view)}"] if never else []),
    ]


def _zoom_caption(view: Overlay) -> str:
    compared = [one for one in view.instants if one.model_s is not None]
    parts: list[str] = []
    noticed = next((one for one in compared if one.words == "noticed"), None)
    back = next((one for one in reversed(compared) if one.words in ("ready", "connected")), None)
    if noticed is not None and noticed.model_s is not None:
        parts.append(f"notices after {seconds(noticed.model_s - view.zero_s)}")
    if back is not None and back.model_s is not None and back.model_s > view.zero_s:
        parts.append(f"is connected again after {seconds(back.model_s - view.zero_s)}")
    text = f"{view.title}: the model {' and '.join(parts)}." if parts else f"{view.title}."
    parts = [*_parting(view), *_messages(list(dict.fromkeys(name for side in view.sides for name in side.parted.values())))]
    if parts:
        text += f" In red what parts: {'; '.join(parts)}."
    elif compared:
        off = max((abs(_off(one, live)) for one in compared for live, _ in one.live_s if live is not None), default=0.0)
        text += f" Each tick stands within its band, {seconds(off)} from the model's instant at most."
    return text


def _off(one: Instant, live_s: float) -> float:
    if one.model_s is None:
        return 0.0
    return live_s - min(max(live_s, one.model_s), one.model_to_s or one.model_s)


def _far(one: Instant) -> str:
    """An instant outside its band, with the largest distance of a live run."""
    off = max((_off(one, live) for live, agrees in one.live_s if live is not None and not agrees), key=abs)
    return f"“{one.words}” by {signed(off)}"


def _latency_caption(found: Sequence[Pair]) -> str:
    parted = sorted((pair for pair in found if not pair.agrees), key=lambda pair: -abs(pair.off_s))
    text = (
        f"Each point is a message that arrived on both sides ({len(found):,}): on the diagonal both took equally long,"
        " in the band they agree."
    )
    if not parted:
        worst = max(found, key=lambda pair: abs(pair.off_s))
        return f"{text} None lies outside; the furthest is {worst.name} of {worst.strategy}, by {signed(worst.off_s)}."
    first = parted[0]
    return (
        f"{text} {len(parted):,} lie{'s' if len(parted) == 1 else ''} outside, ringed; the furthest is {first.name}"
        f" of {first.strategy}, by {signed(first.off_s)}."
    )


def _differences_caption(rows: Sequence[Row], side: str) -> str:
    off = [row.difference or 0.0 for row in rows]
    parted = sum(not row.agrees for row in rows)
    late = sum(value > 0.0 for value in off)
    share = percent(late / len(off))
    text = (
        f"Each point is one instant, {side} minus model, in a strip for each kind: {len(off):,} in all, {share} of them later"
        " than in the model. Where a whole strip lies to one side, the model lacks a cost or has one too many."
    )
    return f"{text} {parted:,} part, ringed." if parted else f"{text} All lie within the tolerance."
