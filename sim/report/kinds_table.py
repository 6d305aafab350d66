"""The detailed tables of the page: by kind of message, losses by cause, bytes by purpose, counters of connections."""

from __future__ import annotations

from typing import Any

from sim.record.causes import CAUSES, PURPOSES, UNATTRIBUTED, UNKNOWN_PURPOSE
from sim.report.evidence import Evidence
from sim.report.figures_ledger import FATES, ledger_rows
from sim.report.numbers import percent, seconds, significant

Row = dict[str, str]


def kind_rows(evidence: Evidence) -> list[Row]:
    """A row per strategy and kind of message: the ledger and latencies over all drives together."""
    rows = []
    for name in evidence.strategies:
        for kind, numbers in evidence.of(name)["workloads"].items():
            rows.append(
                {
                    "strategy": name,
                    "kind": kind,
                    **{key: f"{numbers[key]:,}" for key in ("created", "delivered", "lost", "pending", "late", "duplicates")},
                    "within_60s": _share(numbers["delivered_within_60s"]),
                    **{key: _latency(numbers, key) for key in ("p50", "p95", "p99", "max")},
                }
            )
    return rows


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _latency(numbers: dict[str, Any], key: str) -> str:
    """A latency, or that fewer than that share were ever delivered."""
    value = numbers["latency_s"][key]
    if value is not None:
        return seconds(float(value))
    return "never" if numbers["created"] else "–"


def ledger_lines(evidence: Evidence) -> list[Row]:
    """A row per strategy, kind and fate, with the words for its cause."""
    rows = []
    words = {**CAUSES, UNATTRIBUTED: "the cause cannot be seen from outside"}
    found = ledger_rows(evidence.run.messages, evidence.strategies)
    for name, kind, fate, cause, n, created in found.select(
        "strategy", "kind", "fate", "cause", "messages", "created"
    ).iter_rows():
        rows.append(
            {
                "strategy": name,
                "kind": kind,
                "fate": cause if fate == "lost" else FATES[fate],
                "messages": f"{n:,}",
                "share": percent(n / created),
                "words": words.get(cause, "") if fate == "lost" else "",
            }
        )
    return rows


def cost_rows(evidence: Evidence) -> tuple[list[str], list[Row]]:
    """Purposes that cost anything, and a row per strategy with MB per drive for each of them."""
    purposes = [
        purpose
        for purpose in (*PURPOSES, UNKNOWN_PURPOSE)
        if any(sum(evidence.of(name)["bytes"].get(purpose, {}).values()) for name in evidence.strategies)
    ]
    rows = []
    for name in evidence.strategies:
        spent = evidence.of(name)["bytes"]
        row = {purpose: significant(sum(spent.get(purpose, {}).values()) / 1e6 / evidence.drives) for purpose in purposes}
        rows.append({"strategy": name, **row, "total": significant(spent["total"] / 1e6 / evidence.drives)})
    return purposes, rows


STATS_NOTE = (
    "Sums over the drives; the last two are of the last drive. Connections are those that keep the vehicle known to the"
    " server: MQTT's; of a strategy without MQTT its heartbeats; of one without either every exchange. Posts, polls and"
    " pushes stand in the attempts above."
)


def stats_rows(evidence: Evidence) -> list[Row]:
    """The seed's ConnectionStats of each strategy, summed over the drives: of its MQTT connections, see STATS_NOTE."""
    rows = []
    for name in evidence.strategies:
        stats = evidence.of(name)["connection_stats"]
        last = stats["last_connection_s"]
        rows.append(
            {
                "strategy": name,
                **{
                    key: f"{stats[key]:,}"
                    for key in ("total_connections", "failed_connections", "reconnections", "messages_sent", "messages_received")
                },
                "last_connection": "–" if last is None else f"{last:,.1f} s",
                "current_address": str(stats["current_address"] or "–"),
            }
        )
    return rows
