"""The figures of the report by name, for notebooks: records in, a matplotlib Figure out."""

from __future__ import annotations

from sim.report.figures_backoff import backoff_ladder
from sim.report.figures_drive import drive_lanes
from sim.report.figures_fleet import fleet_back, fleet_busy, fleet_cells, fleet_connected, fleet_queue, fleet_requests
from sim.report.figures_latency import latency_distribution
from sim.report.figures_ledger import loss_ledger
from sim.report.figures_matrix import scenario_matrix
from sim.report.figures_recovery import recovery_bars
from sim.report.figures_search import sensitivity_bars, tuning_front
from sim.report.figures_sweep import sweep_heat, sweep_lines
from sim.report.figures_trade_off import trade_off
from sim.report.figures_zoom import zoom, zoom_events

__all__ = [
    "backoff_ladder",
    "drive_lanes",
    "fleet_back",
    "fleet_busy",
    "fleet_cells",
    "fleet_connected",
    "fleet_queue",
    "fleet_requests",
    "latency_distribution",
    "loss_ledger",
    "recovery_bars",
    "scenario_matrix",
    "sensitivity_bars",
    "sweep_heat",
    "sweep_lines",
    "trade_off",
    "tuning_front",
    "zoom",
    "zoom_events",
]
