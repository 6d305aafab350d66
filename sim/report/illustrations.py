"""Which figures the report shows, where, and with what to see in each; none where nothing is to be shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from sim.report import captions
from sim.report.evidence import Evidence
from sim.report.figures_backoff import backoff_ladder
from sim.report.figures_drive import drive_lanes
from sim.report.figures_latency import latency_distribution, survival
from sim.report.figures_ledger import ledger_rows, loss_ledger
from sim.report.figures_recovery import recovery_bars
from sim.report.figures_trade_off import trade_off, trade_off_points
from sim.report.figures_zoom import KINDS, zoom, zoom_events

SECTIONS = ("trade_off", "drive", "zoom", "recovery", "latency", "ledger", "backoff")


@dataclass(frozen=True, slots=True)
class Illustration:
    """A figure with its file name, its title and the sentences that say what to see in it; `wide`: over the page's width."""

    name: str
    section: str
    title: str
    caption: str
    figure: Figure
    wide: bool = False


def illustrations(evidence: Evidence) -> Iterator[Illustration]:
    """The figures of the report in the order of the page."""
    run, strategies = evidence.run, evidence.strategies
    metric, points = trade_off_points(evidence.metrics, strategies)
    if len(points) > 1:
        grey = captions.grey(evidence, metric, points)
        yield Illustration(
            "trade_off",
            "trade_off",
            "What delivery costs",
            captions.trade_off_caption(evidence, metric, points, grey),
            trade_off(evidence.metrics, strategies, grey),
        )
    if run.timeline.height:
        yield Illustration(
            "drive_lanes",
            "drive",
            "The drive",
            captions.drive_caption(evidence, 0),
            drive_lanes(run, evidence.episodes),
            wide=True,
        )
    for event in zoom_events(run, evidence.episodes):
        kind = str(event["kind"])
        yield Illustration(
            f"zoom_{kind}", "zoom", KINDS[kind], captions.zoom_caption(evidence, event), zoom(run, event, evidence.episodes)
        )
    if any(evidence.of(name)["recovery_s"]["n"] for name in strategies):
        yield Illustration(
            "recovery_bars",
            "recovery",
            "Where the time of a recovery goes",
            captions.recovery_caption(evidence),
            recovery_bars(evidence.metrics, strategies),
        )
    curves = survival(run.messages, strategies)
    if curves:
        yield Illustration(
            "latency_distribution",
            "latency",
            "How long messages take",
            captions.latency_caption(curves),
            latency_distribution(run.messages, strategies),
        )
    rows = ledger_rows(run.messages, strategies)
    if rows.height:
        yield Illustration(
            "loss_ledger",
            "ledger",
            "What did not simply arrive",
            captions.ledger_caption(evidence, rows),
            loss_ledger(run.messages, strategies),
        )
    waits = captions.waits_shown(run.connections, strategies)
    if waits:
        yield Illustration(
            "backoff_ladder",
            "backoff",
            "Attempts and waits",
            captions.backoff_caption(waits),
            backoff_ladder(run.connections, strategies),
        )
