"""Recovery episodes: from the death of the path to the first instant at which a message can flow both ways.

An episode starts
- with every reassignment, at the end of the old address;
- with every rebind of the NAT, which cuts what is connected;
- when a NAT or a balancer forgets the vehicle's connection because nothing has been sent over it (`idle_ends`);
- with every crash or upgrade of a broker's node, and every change of the balancer, that ends the vehicle's connection;
- with every other disruption that loses packets for more than a second (TCP's retransmission hides shorter ones).
None starts while the vehicle is parked, and parking cuts one short (`cut`): how long the rest would have taken depends on
how long the vehicle stands, so it is counted apart and is in no other number.
A disruption inside an open episode extends it. When it ends is said in `attempt_history`, by the strategy's channel; one
that does not end before the end of the run is censored there. An MQTT connection that outlives a disruption counts from
when TCP has got something through again (`arrivals`). Catch-up, the time until the backlog is delivered, is
reported apart: it measures the backlog, not the reconnection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from sim.measure.attempt_history import Attempt, History
from sim.measure.delivery import WORKLOAD_KINDS
from sim.measure.drive_path import Event
from sim.measure.episode_labels import LABELS, Span, durations, label_spans
from sim.measure.idle_ends import IDLE_KINDS
from sim.measure.stats import rank_quantile
from sim.parking import is_parked

#: Faults of the server side that end connections: those of one node, or all.
CUTTING_KINDS = ("node_crash", "node_upgrade", "balancer_change")
LOSSY_KINDS = ("radio_link_failure", "silence", "coverage_gap", "log_gap", "detach")
#: Shorter losses are bridged by TCP: RTO 200 ms, then doubled, so a packet is sent again within a second.
HIDDEN_S = 1.0
_SAME_S = 1e-6  # records are compared in microseconds


@dataclass(frozen=True, slots=True)
class Episode:
    """Times in s since the start of the drive. `end_s` is the end of the run where `censored`, the ignition off where `cut`.

    `spans` are the labels of the episode (start, end, label), adjacent; `events` the disruptions in it; `lost` the MQTT
    connection that was up when it began and `ended_by` the attempt that ended it (None: what was there survived, or
    nothing did). `catch_up_s` is inf where a message of the backlog never arrived, None where the episode did not end.
    """

    replication: int
    vehicle: int
    start_s: float
    end_s: float
    censored: bool
    spans: tuple[Span, ...]
    events: tuple[Event, ...]
    lost: Attempt | None
    ended_by: Attempt | None
    catch_up_s: float | None
    cut: bool = False

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def phases(self) -> dict[str, float]:
        """label -> seconds; they sum to the length."""
        return durations(list(self.spans))


def starts_episode(event: Event) -> bool:
    """Whether a disruption is, or may be, the death of a path; see `_cuts` for those that are not for everybody."""
    sure = event.kind in ("reassignment", "rebind", *IDLE_KINDS, *CUTTING_KINDS)
    return sure or (event.kind in LOSSY_KINDS and event.end_s - event.start_s > HIDDEN_S)


def _cuts(history: History, event: Event) -> bool:
    """Whether a fault of the server side ended the connection that the vehicle had; it may have been at another node."""
    if event.kind not in CUTTING_KINDS:
        return True
    up = _up_at(history, event.start_s)
    if up is None:
        return False
    ended = up.peer_ended_s is not None and abs(up.peer_ended_s - event.start_s) <= _SAME_S
    forgotten = up.path_end_s is not None and abs(up.path_end_s - event.start_s) <= _SAME_S
    return ended or forgotten


def episodes_of(
    history: History, events: Sequence[Event], messages: pl.DataFrame, replication: int = 0, vehicle: int = 0
) -> list[Episode]:
    """The episodes of one vehicle in one drive under one strategy, by start; `messages` are its own (for the catch-up)."""
    cutting = [event for event in events if starts_episode(event) and _cuts(history, event)]
    deaths = sorted(
        (event for event in cutting if not is_parked(history.parked, event.start_s)),
        key=lambda event: (event.start_s, event.end_s),
    )
    backlog = _Backlog(messages)
    found: list[Episode] = []
    number = 0
    while number < len(deaths) and deaths[number].start_s < history.horizon_s:
        start_s, clear_s, end_s = deaths[number].start_s, 0.0, math.inf
        off_s = next((off_s for off_s, _ in history.parked if off_s >= start_s), math.inf)
        ended_by: Attempt | None = None
        inside: list[Event] = []
        while number < len(deaths) and (not inside or deaths[number].start_s <= min(end_s, off_s)):
            death = deaths[number]
            inside.append(death)
            # other nodes may serve while one is down
            clear_s = history.path.usable_from(max(clear_s, death.start_s if death.kind in CUTTING_KINDS else death.end_s))
            end_s, ended_by = history.flows_from(start_s, clear_s)
            number += 1
        cut = off_s < min(end_s, history.horizon_s)
        censored = not cut and end_s >= history.horizon_s
        end_s = min(end_s, history.horizon_s, off_s)
        ended_by = None if cut else ended_by
        spans = label_spans(history, start_s, end_s, ended_by)
        length_s = math.fsum(end - begin for begin, end, _ in spans)
        assert math.isclose(length_s, end_s - start_s, abs_tol=1e-6), "the labels of an episode sum to its length"
        catch_up_s = None if censored or cut else backlog.catch_up_s(end_s)
        found.append(
            Episode(
                replication,
                vehicle,
                start_s,
                end_s,
                censored,
                tuple(spans),
                tuple(inside),
                _up_at(history, start_s),
                None if censored else ended_by,
                catch_up_s,
                cut,
            )
        )
    return found


def _up_at(history: History, start_s: float) -> Attempt | None:
    """The MQTT connection that the vehicle took for up when the path died."""
    for attempt in reversed(history.of("mqtt")):
        if attempt.ready_s is not None and attempt.ready_s <= start_s and not attempt.failed:
            return attempt if attempt.noticed_s is None or attempt.noticed_s >= start_s else None
    return None


class _Backlog:
    """When everything that was created before an instant had arrived, for messages that were not lost."""

    def __init__(self, messages: pl.DataFrame) -> None:
        kept = messages.filter(pl.col("kind").is_in(WORKLOAD_KINDS) & (pl.col("outcome") != "lost")).sort("created_s")
        self._created_s = kept["created_s"].to_numpy()
        # the latest delivery of all messages created so far; one that is pending never arrives
        self._settled_s = np.maximum.accumulate(kept["delivered_s"].fill_null(math.inf).to_numpy())

    def catch_up_s(self, end_s: float) -> float:
        older = int(np.searchsorted(self._created_s, end_s, side="left"))
        return max(float(self._settled_s[older - 1]) - end_s, 0.0) if older else 0.0


def recovery(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Numbers of these episodes, in s.

    `n`, `censored`: counts; `cut`: how many more parking cut short. `p50`, `p95`: quantiles over all, a censored one beyond
    the horizon (inf). `max` of those that ended (None: none). `mean` with a censored one counted to the end of the run, so a
    lower bound; `phases` are its parts, label -> mean seconds an episode, and sum to it. `catch_up_s`: p50, p95, max over the
    episodes that ended, inf where a message of the backlog never arrived. None without episodes.
    """
    cut = sum(episode.cut for episode in episodes)
    episodes = [episode for episode in episodes if not episode.cut]
    n = len(episodes)
    lengths = np.sort(np.array([math.inf if episode.censored else episode.length_s for episode in episodes]))
    ended = lengths[np.isfinite(lengths)]
    catch_up = np.sort(np.array([episode.catch_up_s for episode in episodes if episode.catch_up_s is not None], dtype=np.float64))
    phases = [episode.phases for episode in episodes]
    return {
        "n": n,
        "cut": cut,
        "censored": sum(episode.censored for episode in episodes),
        "p50": rank_quantile(lengths, 50),
        "p95": rank_quantile(lengths, 95),
        "max": float(ended[-1]) if len(ended) else None,
        "mean": math.fsum(episode.length_s for episode in episodes) / n if n else None,
        "phases": {label: math.fsum(phase[label] for phase in phases) / n for label in LABELS} if n else {},
        "catch_up_s": {
            "p50": rank_quantile(catch_up, 50),
            "p95": rank_quantile(catch_up, 95),
            "max": float(catch_up[-1]) if len(catch_up) else None,
        },
    }


def mean_of_drives(drives: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`mean` and `phases` of a recovery as means of the drives' own, from what `recovery` says of each: a drive counts as one."""
    known = [numbers for numbers in drives if numbers["n"]]
    if not known:
        return {"mean": None, "phases": {}}
    return {
        "mean": math.fsum(numbers["mean"] for numbers in known) / len(known),
        "phases": {label: math.fsum(numbers["phases"][label] for numbers in known) / len(known) for label in LABELS},
    }


def worst(episodes: Sequence[Episode]) -> Episode | None:
    """The longest episode that was not cut short, the first of equals; None without one."""
    whole = [episode for episode in episodes if not episode.cut]
    return min(whole, key=lambda each: (-each.length_s, each.replication, each.vehicle, each.start_s), default=None)
