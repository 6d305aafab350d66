"""Run the failure catalogue (scenarios/failures/) and write docs/failures.md: what happens, who suffers, what cures it.

    python tools/failures.py           run it (half a minute) and write the page
    python tools/failures.py --check   say whether the page is current; exit code 1 when it is not

What happens is the comment at the head of each scenario. Every number is of a run.
"""

from __future__ import annotations

import functools
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sim.measure.metrics_catalog import METRICS  # noqa: E402 - the path comes first
from sim.record.read import Run, read_run  # noqa: E402
from sim.record.schema import TABLES  # noqa: E402
from sim.scenario.load import load  # noqa: E402
from sim.study.run import run_scenario  # noqa: E402

FOLDER = ROOT / "scenarios" / "failures"
PAGE = ROOT / "docs" / "failures.md"


@dataclass(frozen=True, slots=True)
class Failure:
    """A row of the catalogue.

    `before` and `after` name strategies of the scenario; `cured:NAME` is strategy NAME of the scenario's `_cured` twin.
    `shows` are names of METRICS or MEASURES. `cause`: what most losses before the cure bear; `label`: what most of a
    recovery goes into. `left_out`: what of the failure the lab does not have.
    """

    number: int
    title: str
    scenario: str
    suffers: str
    cure: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    shows: tuple[str, ...]
    cause: str = ""
    label: str = ""
    left_out: str = ""


#: What else runs on the same drives in the scenario and in its cured twin.
BESIDE = ("hybrid", "ddns_heartbeat", "mqtt_clean_session")
CURED_BESIDE = tuple(f"cured:{name}" for name in BESIDE)
MQTT = "every strategy with an MQTT connection"
CATALOGUE = (
    Failure(
        1,
        "half-open at the broker",
        "f01_half_open_at_broker",
        suffers=f"{MQTT}; what is sent with QoS 0",
        cure="`keep_alive` of the strategy (`broker.keep_alive_factor` is the broker's part); QoS 1",
        before=("keep_alive_30s",),
        after=("keep_alive_5s",),
        shows=("diagnostics.lost", "blind_s"),
        cause="qos0_dead_transport",
    ),
    Failure(
        2,
        "half-open at the vehicle",
        "f02_half_open_at_vehicle",
        suffers=f"{MQTT}, where it does not watch its path",
        cure="`keep_alive`, `user_timeout` (TCP_USER_TIMEOUT), `address_watch` of the strategy",
        before=("tcp_alone",),
        after=("keep_alive_30s", "user_timeout_20s"),
        shows=("recovery_s.mean", "all.latency_s.max"),
        label="undetected",
    ),
    Failure(
        3,
        "the broker ignores the keep alive",
        "f03_keep_alive_ignored",
        suffers="`mqtt_persistent`, `mqtt_clean_session` always; `hybrid` and `ddns_heartbeat` keep copies of their own",
        cure="a broker that enforces it (`broker.keep_alive_rule`); `hybrid`",
        before=("mqtt_persistent", *BESIDE),
        after=("cured:mqtt_persistent", *CURED_BESIDE),
        shows=("ota.lost", "ota.pending"),
        cause="qos0_dead_transport",
    ),
    Failure(
        4,
        "takeover loop by a duplicate client id",
        "f04_takeover_loop",
        suffers=MQTT,
        cure="a client id for each program (a wait after each loss, as `backoff: paho` has it, only slows the loop down)",
        before=("same_id", "same_id_wait_1s"),
        after=("own_ids",),
        shows=("reconnections", "bytes.handshake"),
        left_out="two vehicles with one id: the two clients are programs of the same vehicle and share its link.",
    ),
    Failure(
        5,
        "the vehicle's own ghost",
        "f05_own_ghost",
        suffers=f"{MQTT}, after a change of address; `hybrid` does not poll, as it takes itself for connected",
        cure="a broker whose takeover works (preset `mosquitto`)",
        before=("mqtt_persistent", *BESIDE),
        after=("cured:mqtt_persistent", *CURED_BESIDE),
        shows=("ota.delivered", "ota.pending"),
        left_out="a takeover that fails within a cluster of nodes.",
    ),
    Failure(
        6,
        "queue overflow, newest dropped",
        "f06_queue_drops_newest",
        suffers="every strategy, each at its own limit; of `hybrid` what the session dropped stays pending in the API's list",
        cure="`broker.queue_limit` (mosquitto: `max_queued_messages`); of `ddns_heartbeat` `push.store_limit`",
        before=("mqtt_persistent", *BESIDE),
        after=("cured:mqtt_persistent", *CURED_BESIDE),
        shows=("ota.lost", "ota.pending", "first_lost"),
        cause="queue_full",
    ),
    Failure(
        7,
        "queue overflow, oldest dropped",
        "f07_queue_drops_oldest",
        suffers="every strategy, each at its own limit; `hybrid`, too, as its list drops the oldest as well",
        cure="`broker.queue_limit` (EMQX: `max_mqueue_len`); of `ddns_heartbeat` `push.store_limit`",
        before=("mqtt_persistent", *BESIDE),
        after=("cured:mqtt_persistent", *CURED_BESIDE),
        shows=("ota.lost", "ota.pending", "first_lost"),
        cause="queue_full",
    ),
    Failure(
        8,
        "unbounded queue",
        "f08_unbounded_queue",
        suffers="the broker, and everybody on it",
        cure="`workload.ota.window`: a publisher that waits for the vehicle (or a limit, and losses: F6)",
        before=("mqtt_persistent",),
        after=("cured:mqtt_persistent",),
        shows=("waiting_bytes", "ota.lost"),
        left_out="a broker that runs out of memory; `server.nodes.memory` bounds a queue in bytes instead.",
    ),
    Failure(
        9,
        "persistent session not kept",
        "f09_session_not_kept",
        suffers="`mqtt_persistent` with MQTT 5; "
        "`hybrid` loses nothing, but what it has not polled when MQTT is back stays pending",
        cure="`session_expiry` of the strategy",
        before=("expiry_0", "hybrid_expiry_0"),
        after=("expiry_1h",),
        shows=("ota.lost", "ota.pending", "ota.delivered_within_60s"),
        cause="no_subscription",
    ),
    Failure(
        10,
        "session expires out of coverage",
        "f10_session_expires",
        suffers="`mqtt_persistent`; `hybrid` loses nothing, but what it has not polled when MQTT is back stays pending",
        cure="`session_expiry` of the strategy, `broker.session_expiry_max`",
        before=("expiry_60s", "hybrid_expiry_60s"),
        after=("expiry_1day",),
        shows=("ota.lost", "ota.pending"),
        cause="no_subscription",
        left_out="a client that does not subscribe again though its session is gone.",
    ),
    Failure(
        11,
        "the window is full",
        "f11_window_stall",
        suffers=f"{MQTT}, on a path with a long round trip",
        cure="`receive_maximum` of the strategy, `broker.inflight_limit`",
        before=("receive_maximum_1",),
        after=("receive_maximum_20",),
        shows=("ota.latency_s.p95", "ota.delivered_within_10s"),
        left_out="a broker or client that forgets to give a place back, and stalls for good.",
    ),
    Failure(
        12,
        "duplicates after a reconnect, DUP missing",
        "f12_duplicates",
        suffers=f"{MQTT} with QoS 1",
        cure="QoS 2, or an application that knows its chunks by number",
        before=("mqtt_persistent",),
        after=("cured:mqtt_persistent",),
        shows=("ota.duplicates", "marked_dup"),
        left_out="QoS 2 delivered twice by a client's own fault.",
    ),
    Failure(
        13,
        "out of order after a backlog",
        "f13_out_of_order",
        suffers=f"{MQTT}, with an application that needs the order",
        cure="a broker that sends what was in flight first (preset `mosquitto`)",
        before=("mqtt_persistent", *BESIDE),
        after=("cured:mqtt_persistent", *CURED_BESIDE),
        shows=("out_of_order", "ota.lost"),
    ),
    Failure(
        14,
        "backlog flood on a thin link",
        "f14_backlog_on_thin_link",
        suffers=f"{MQTT} with large messages",
        cure="smaller chunks; `workload.ota.via: https_range`, which is resumed at the last byte. A smaller window is none",
        before=("window_20", "window_2"),
        after=("cured:window_20",),
        shows=("bytes.repeated", "ota.latency_s.p95"),
        left_out="brokers that send again within a connection, after a fixed time (as old versions of mosquitto did).",
    ),
    Failure(
        15,
        "retained command at each subscription",
        "f15_retained_command",
        suffers=f"{MQTT} that subscribes after each CONNACK; always with a clean session",
        cure="`resubscribe: when_needed`; commands that are not retained",
        before=("resubscribes_always",),
        after=("resubscribes_when_needed", "not_retained"),
        shows=("ota.duplicates",),
    ),
    Failure(
        16,
        "thundering herd after a restart of the broker",
        "f16_thundering_herd",
        suffers="all vehicles of the broker at once",
        cure="a `backoff` with jitter; `server.nodes`: `cores` for handshakes, `accept_rate`, `connect_rate`",
        before=("mqtt_persistent",),
        after=("full_jitter", "cured:mqtt_persistent", "cured:full_jitter"),
        shows=("fleet.back_s.p95", "fleet.connections_per_s"),
    ),
    Failure(
        17,
        "backoff never reset, or no backoff",
        "f17_backoff_bugs",
        suffers=f"{MQTT}; without a wait, the broker",
        cure="a counter that CONNACK resets (every `backoff` but `never_reset`), and a wait at all",
        before=("never_reset", "no_wait"),
        after=("resets",),
        shows=("first_wait_s", "recovery_s.p50", "attempts.failed"),
        left_out="waits that overflow to 0, and attempts while the last one is under way.",
    ),
    Failure(
        18,
        "the longest wait is too long",
        "f18_backoff_cap",
        suffers="`mqtt_persistent`; `hybrid` polls meanwhile",
        cure="`backoff.cap` of the strategy",
        before=("cap_120s", "hybrid_cap_120s"),
        after=("cap_10s",),
        shows=("recovery_s.mean", "attempts.failed"),
        label="backoff",
    ),
    Failure(
        19,
        "retries meet a rate limiter",
        "f19_rate_limiter",
        suffers="MQTT that reconnects at once; `hybrid` polls through the ban",
        cure="fewer connections: `address_watch: poll` here (`broker.flapping_limit` is the broker's part)",
        before=("eager", "hybrid_eager"),
        after=("patient",),
        shows=("recovery_s.max", "attempts.failed"),
        label="backoff",
        left_out="a ban that each retry prolongs: this one, as EMQX', ends after `flapping_ban` whatever the vehicle does.",
    ),
    Failure(
        20,
        "the balancer's idle timeout",
        "f20_balancer_idle",
        suffers=f"{MQTT} with a keep alive above the timeout",
        cure="`keep_alive` of the strategy below `server.balancer.idle_timeout`",
        before=("keep_alive_600s",),
        after=("keep_alive_200s",),
        shows=("diagnostics.latency_s.max", "reconnections"),
    ),
    Failure(
        21,
        "stale DNS",
        "f21_stale_dns",
        suffers=f"{MQTT}, and `hybrid` with its polls; with `ddns_heartbeat` the server connects, only heartbeats fail",
        cure="`server.dns_ttl`",
        before=("mqtt_persistent", "hybrid", "ddns_heartbeat"),
        after=("cured:mqtt_persistent", "cured:hybrid", "cured:ddns_heartbeat"),
        shows=("recovery_s.mean", "all.latency_s.p95", "attempts.failed"),
        label="failed_attempt",
        left_out="clients that resolve a name once and never again, whatever its TTL.",
    ),
    Failure(
        22,
        "carrier-grade NAT",
        "f22_cgnat",
        suffers="`ddns_heartbeat`, `static_push`",
        cure="`mqtt_persistent` or `hybrid`, which connect out; or an APN of one's own (`network.access: private_apn`)",
        before=("ddns_heartbeat",),
        after=("mqtt_persistent", "hybrid"),
        shows=("ota.delivered", "ota.pending"),
    ),
    Failure(
        23,
        "a restart loses sessions",
        "f23_restart_loses_sessions",
        suffers="`mqtt_persistent`; `hybrid` loses nothing, but what it has not polled when MQTT is back stays pending",
        cure="`server.store`: `redis`, `replicated`, or `disk` saved at every change",
        before=("mqtt_persistent", *BESIDE),
        after=("cured:mqtt_persistent", *CURED_BESIDE),
        shows=("ota.lost", "ota.pending"),
        cause="broker_restart",
        left_out="a cluster that believes in a session on a node that is gone.",
    ),
)


# --- runs ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ran:
    """A scenario's run: metrics.json and the records."""

    metrics: dict[str, Any]
    records: Run

    def of(self, strategy: str) -> dict[str, Any]:
        """The numbers of a strategy."""
        numbers: dict[str, Any] = self.metrics["strategies"][strategy]
        return numbers


@functools.cache
def ran(scenario: str) -> Ran:
    """Run a scenario of the catalogue, once."""
    with tempfile.TemporaryDirectory(prefix="failures_") as out:
        result = run_scenario(load(FOLDER / f"{scenario}.yaml"), out=Path(out), report=False)
        records = read_run(result.run_dir)
        for table in TABLES:  # they are read when asked for, and the folder is gone then
            if records.has(table):
                records.table(table)
        return Ran(result.metrics, records)


def variant(failure: Failure, name: str) -> tuple[str, str]:
    """(scenario, strategy) of an entry of `before` or `after`."""
    if name.startswith("cured:"):
        return f"{failure.scenario}_cured", name.removeprefix("cured:")
    return failure.scenario, name


def causes(failure: Failure, name: str) -> dict[str, int]:
    """Cause -> lost messages over all drives, the most frequent first."""
    scenario, strategy = variant(failure, name)
    messages = ran(scenario).records.messages
    lost = messages.filter((pl.col("strategy") == strategy) & (pl.col("outcome") == "lost"))
    return dict(sorted(lost.group_by("cause").len().iter_rows(), key=lambda row: (-row[1], row[0])))


def longest_phase(failure: Failure, name: str) -> tuple[str, float]:
    """(label, s): what most of a recovery goes into, as the mean over the episodes; ("", 0) without episodes."""
    scenario, strategy = variant(failure, name)
    phases: dict[str, float] = ran(scenario).of(strategy)["recovery_s"]["phases"]
    return max(phases.items(), key=lambda item: item[1]) if phases else ("", 0.0)


# --- what the metrics have no name for ----------------------------------------------------------------------------------


def blind_s(run: Ran, strategy: str) -> float | None:
    """From the loss of coverage to the end of the connection at the broker, s: mean of the drives."""
    gaps = run.records.disruptions.filter(pl.col("kind") == "coverage_gap").group_by("replication").agg(pl.col("start_s").min())
    stood = _connections(run, strategy).join(gaps, on="replication").filter(pl.col("opened_s") < pl.col("start_s"))
    return _number((stood["peer_ended_s"] - stood["start_s"]).mean())


def first_wait_s(run: Ran, strategy: str) -> float | None:
    """The first wait after the node's crash, s: mean of the drives."""
    crash = run.records.disruptions.filter(pl.col("kind") == "node_crash").group_by("replication").agg(pl.col("start_s").min())
    again = _connections(run, strategy).join(crash, on="replication")
    again = again.filter((pl.col("asked_s") > pl.col("start_s")) & (pl.col("trigger") == "retry")).sort("asked_s")
    return _number(again.group_by("replication").agg(pl.col("waited_s").first())["waited_s"].mean())


def out_of_order(run: Ran, strategy: str) -> float | None:
    """Chunks a drive that were handed over after a later one."""
    chunks = _chunks(run, strategy).filter(pl.col("handed_s").is_not_null()).sort("replication", "handed_s", "message")
    late = chunks.with_columns(latest=pl.col("message").cum_max().over("replication")).filter(
        pl.col("message") < pl.col("latest")
    )
    return late.height / run.metrics["replications"]


def waiting_bytes(run: Ran, strategy: str) -> float | None:
    """Most bytes that wait for the vehicle at one time, mean of the drives."""
    chunks = _chunks(run, strategy)
    gone = pl.coalesce("handed_s", "gone_s", pl.lit(float("inf")))
    steps = pl.concat(
        [
            chunks.select("replication", at=pl.col("created_s"), bytes=pl.col("size_bytes")),
            chunks.select("replication", at=gone, bytes=-pl.col("size_bytes")),
        ]
    ).sort("replication", "at", "bytes")
    peaks = (
        steps.with_columns(held=pl.col("bytes").cum_sum().over("replication")).group_by("replication").agg(pl.col("held").max())
    )
    return _number(peaks["held"].mean())


def first_lost(run: Ran, strategy: str) -> float | None:
    """When the first chunk that was lost had been created, s after the start of the drive; None: none was lost."""
    return _number(_chunks(run, strategy).filter(pl.col("outcome") == "lost")["created_s"].min())


def marked_dup(run: Ran, strategy: str) -> float | None:
    """PUBLISH packets with DUP that the broker sent, in the first drive."""
    trace = run.records.trace
    assert trace is not None
    sent = trace.filter((pl.col("strategy") == strategy) & (pl.col("source") != "vehicle") & (pl.col("kind") == "send_packet"))
    return float(sent.filter(pl.col("detail").str.contains(r"^PUBLISH.* dup\b")).height)


def _connections(run: Ran, strategy: str) -> pl.DataFrame:
    return run.records.connections.filter((pl.col("strategy") == strategy) & (pl.col("purpose") == "mqtt"))


def _chunks(run: Ran, strategy: str) -> pl.DataFrame:
    return run.records.messages.filter((pl.col("strategy") == strategy) & (pl.col("kind") == "ota"))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


#: name -> (function, heading, unit)
MEASURES: dict[str, tuple[Callable[[Ran, str], float | None], str, str]] = {
    "blind_s": (blind_s, "the broker takes it for connected", "s"),
    "first_wait_s": (first_wait_s, "first wait after the crash", "s"),
    "out_of_order": (out_of_order, "chunks out of order", "count"),
    "waiting_bytes": (waiting_bytes, "most that waits in the session", "bytes"),
    "first_lost": (first_lost, "first loss created at", "s"),
    "marked_dup": (marked_dup, "marked DUP, first drive", "count"),
}


def measured(failure: Failure, name: str, what: str) -> float | None:
    """A figure of a variant: the mean of its drives. None: no data, or beyond the horizon."""
    scenario, strategy = variant(failure, name)
    run = ran(scenario)
    if what in MEASURES:
        return MEASURES[what][0](run, strategy)
    return _number(run.of(strategy)["intervals"].get(what, {}).get("mean"))


# --- the page -----------------------------------------------------------------------------------------------------------


def page(text: str) -> str:
    """The page with its generated part made anew. Runs what has not been run."""
    begin, end = "<!-- generated: failures -->", "<!-- end of failures -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    return f"{before}{begin}\n\n{catalogue()}\n\n{end}{after}"


def catalogue() -> str:
    """The table of all failures and a section for each."""
    rows = ["| | failure | knob | measured | before | after |", "| --- | --- | --- | --- | --- | --- |"]
    for failure in CATALOGUE:
        what = failure.shows[0]
        figures = [_shown(measured(failure, side[0], what), what) for side in (failure.before, failure.after)]
        link = f"[F{failure.number}](#{_anchor(failure)})"
        rows.append(f"| {link} | {failure.title} | {failure.cure} | {_heading(what)} | {figures[0]} | {figures[1]} |")
    return "\n\n".join(["\n".join(rows), *(_section(failure) for failure in CATALOGUE)])


def what_happens(scenario: str) -> str:
    """The comment at the head of a scenario, without its number."""
    lines = (FOLDER / f"{scenario}.yaml").read_text(encoding="utf-8").splitlines()[1:]
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return re.sub(r"^F\d+[.,] ?", "", " ".join(comment))


def _section(failure: Failure) -> str:
    head = ["", "variant", *(_heading(what) for what in failure.shows)]
    if failure.cause:
        head.append("causes of the losses, all drives")
    if failure.label:
        head.append("most of a recovery")
    rows = [_table_row(head), _table_row(["---"] * len(head))]
    for word, names in (("before", failure.before), ("after", failure.after)):
        for name in names:
            scenario, strategy = variant(failure, name)
            cells = [word, f"`{strategy}` of [{scenario}](../scenarios/failures/{scenario}.yaml)"]
            cells += [_shown(measured(failure, name, what), what) for what in failure.shows]
            if failure.cause:
                cells.append(", ".join(f"`{cause}` {n:,}" for cause, n in causes(failure, name).items()) or "none")
            if failure.label:
                label, seconds = longest_phase(failure, name)
                cells.append(f"`{label}`, {_seconds(seconds)}" if label else "no recovery")
            rows.append(_table_row(cells))
    source = f"sources.md#failure-modes-f{failure.number}"
    parts = [
        f"## F{failure.number}: {failure.title}",
        what_happens(failure.scenario),
        f"Suffers: {failure.suffers}. Cure: {failure.cure}. Seen: [F{failure.number}]({source}).",
        "\n".join(rows),
    ]
    if failure.left_out:
        parts.append(f"Not in the model: {failure.left_out}")
    return "\n\n".join(parts)


def _anchor(failure: Failure) -> str:
    heading = f"F{failure.number}: {failure.title}".lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def _table_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _heading(what: str) -> str:
    return MEASURES[what][1] if what in MEASURES else f"`{what}`"


def _shown(value: float | None, what: str) -> str:
    """A figure with its unit, as exact as it is worth."""
    if value is None:
        return "none"
    unit = MEASURES[what][2] if what in MEASURES else METRICS[what].unit
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        return f"{value / 1e6:,.2f} MB"
    if unit == "share":
        return f"{value:.1%}".replace("%", " %")
    return f"{value:,.1f}".removesuffix(".0")


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10.0 else f"{value:.1f} s" if value < 100.0 else f"{value:.0f} s"


def main(arguments: list[str]) -> int:
    """Write or check the page; returns the exit code."""
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if after == before:
        return 0
    if "--check" in arguments:
        print("docs/failures.md: not current, run python tools/failures.py")
        return 1
    PAGE.write_text(after, encoding="utf-8")
    print("docs/failures.md: written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
