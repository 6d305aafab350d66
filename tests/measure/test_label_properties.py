"""Whatever an attempt log looks like, the labels of an episode neither overlap nor leave a gap."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.measure.attempt_history import Channel
from sim.measure.drive_path import Event
from sim.measure.episode_labels import LABELS
from sim.measure.recovery import episodes_of

from .records import history, table, timeline

HORIZON_S = 300.0
instants = st.floats(0.0, HORIZON_S).map(lambda time_s: round(time_s, 3))
maybe = st.none() | instants


@st.composite
def attempts(draw: st.DrawFn) -> dict[str, Any]:
    phases = sorted(draw(st.lists(instants, min_size=6, max_size=6)))
    names = ("asked_s", "started_s", "tcp_s", "opened_s", "connack_s", "ready_s")
    row: dict[str, Any] = {name: draw(st.sampled_from([phase, None])) for name, phase in zip(names, phases, strict=True)}
    row |= {"purpose": draw(st.sampled_from(["mqtt", "poll", "heartbeat", "push", "post"]))}
    row |= {"address": draw(st.sampled_from(["", "A", "B"])), "target": draw(st.sampled_from(["", "A", "B"]))}
    row |= {"path_end_s": draw(maybe), "noticed_s": draw(maybe), "outcome": draw(st.sampled_from(["ready", "failed", "open"]))}
    return row


@st.composite
def timelines(draw: st.DrawFn):
    starts = sorted(draw(st.sets(instants.filter(lambda time_s: time_s > 0), max_size=6)))
    rows = [(0.0, "A", "up")]
    for start in starts:
        address = draw(st.sampled_from(["A", "B", ""]))
        rows.append((start, address, "lost" if not address else draw(st.sampled_from(["up", "held", "lost"]))))
    return timeline(*rows)


@st.composite
def disruptions(draw: st.DrawFn) -> Event:
    start, end = sorted((draw(instants), draw(instants)))
    return Event(draw(st.sampled_from(["reassignment", "silence", "coverage_gap", "handover", "held"])), start, end, "A", "B")


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(list(Channel)),
    timelines(),
    st.lists(attempts(), max_size=8),
    st.lists(disruptions(), max_size=4),
    st.booleans(),
)
def test_labels_partition_every_episode(channel, path, rows, events, inbound) -> None:
    found = episodes_of(history(channel, path, *rows, horizon_s=HORIZON_S, inbound=inbound), events, table("messages"))
    for episode in found:
        assert sum(episode.phases.values()) == pytest.approx(episode.length_s, abs=1e-6)
        assert episode.length_s == 0.0 or (episode.spans[0][0], episode.spans[-1][1]) == (episode.start_s, episode.end_s)
        for (_, end, before), (start, _, after) in pairwise(episode.spans):
            assert end == start
            assert before != after
        assert {label for _, _, label in episode.spans} <= set(LABELS)
        assert episode.end_s <= HORIZON_S
    for earlier, later in pairwise(found):
        assert earlier.end_s < later.start_s
