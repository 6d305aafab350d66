"""The report of a fleet: report.html and report.md, their figures and tables, made from the run's folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.report import fleet_words as words
from sim.report.answer import objective_rows
from sim.report.evidence import Evidence
from sim.report.figures_fleet import fleet_back, fleet_busy, fleet_cells, fleet_connected, fleet_queue, fleet_requests
from sim.report.fleet_run import FleetRun
from sim.report.fleet_tables import csv_tables, fleet_tables
from sim.report.method import surroundings
from sim.report.names import made_by_a_report
from sim.report.numbers import NBSP, count, percent, seconds, significant
from sim.report.study_page import Page, Section, Shown, write_page

#: What a fleet simplifies; the whole list is in docs/model.md.
_SCALED = (
    "What a node can do is scaled with the vehicles that are simulated: waiting is exact where it comes from overload, and the"
    " few milliseconds of chance queueing are not.",
)
_QUEUES = (
    "Who has given up meanwhile keeps his place in a queue: a TLS server finds the ClientHello in its buffer and answers it"
    " before it sees that nobody is there.",
)


def write_fleet_report(folder: Path, evidence: Evidence) -> Path:
    """Write the report of a fleet; returns the path of report.html. RunFolderError where it cannot."""
    fleet = FleetRun(evidence.run)
    manifest = evidence.manifest
    page = Page(
        title=str(manifest["scenario"]),
        subtitle=f"handover lab, run {manifest['run_id']}, a fleet of {count(fleet.vehicles)} vehicles",
        description=str(manifest.get("description") or "A fleet that meets at the broker."),
        headline=words.headline(evidence, fleet),
        support=[
            *words.everybody(evidence, fleet),
            *words.verdicts(evidence, fleet),
            *words.peaks(evidence, fleet),
            *words.what_stands_for_what(fleet),
        ],
        warnings=_warnings(evidence),
        sections=_sections(evidence, fleet),
        looks={name: fleet.looks[name] for name in fleet.strategies},
        command=str(manifest.get("command") or ""),
        facts=_facts(evidence, fleet),
        assumptions=_assumptions(evidence, fleet),
        objectives=[
            (one["verdict"], f"{one['strategy']}: {one['metric']} {one['bound']}. Found {one['value']}. ({one['doc']})")
            for one in objective_rows(evidence)
        ],
    )
    tables = {f"tables/{name}.csv": frame.write_csv().encode() for name, frame in csv_tables(evidence, fleet).items()}
    return write_page(folder, page, others=tables, made=made_by_a_report)


def _warnings(evidence: Evidence) -> list[str]:
    """Those of metrics.json, as sentences."""
    return [f"{line[0].upper()}{line[1:]}." for line in evidence.metrics.get("warnings", [])]


def _sections(evidence: Evidence, fleet: FleetRun) -> list[Section]:
    connected = Shown("fleet_connected", "Vehicles connected", words.connected_caption(fleet), fleet_connected(fleet))
    back = []
    if any(fleet.storms.values()):
        back = [Shown("fleet_back", "Times back", words.back_caption(fleet), fleet_back(fleet))]
    nobody = [] if back else ["No fault cut anybody off, so there are no times back."]
    found = [Section("back", "How the fleet comes back" if back else "Who is connected", nobody, [connected, *back])]
    if fleet.air:
        cells = Shown("fleet_cells", "Load of the cells", words.cells_caption(fleet), fleet_cells(fleet))
        found.append(Section("cells", "What the cells have to carry", (), [cells]))
    if fleet.courses and fleet.idle:
        found.append(Section("nodes", "What the nodes have to do", [words.idle_nodes(fleet) + words.held_up(fleet)]))
    elif fleet.courses:
        figures = [
            Shown("fleet_requests", "Connections and handshakes", words.requests_caption(fleet), fleet_requests(fleet)),
            Shown("fleet_queue", "Queues of the nodes", words.queue_caption(fleet), fleet_queue(fleet)),
            Shown("fleet_busy", "Load of the nodes", words.busy_caption(fleet), fleet_busy(fleet)),
        ]
        mixed = ["Vehicles with different strategies share the nodes: what the nodes meet is of all of them together."]
        found.append(Section("nodes", "What the nodes have to do", mixed if fleet.mixed else (), figures))
    else:
        shared = "no nodes" if fleet.shares_cells else "nothing"
        text = f"The vehicles share {shared}, so that no node has a queue: each has the nodes to itself."
        found.append(Section("nodes", "What the nodes have to do", [text]))
    heading = "Strategies compared" if len(fleet.strategies) > 1 else "In numbers"
    found.append(Section("compared", heading, (), (), fleet_tables(evidence, fleet)))
    return found


def _facts(evidence: Evidence, fleet: FleetRun) -> list[tuple[str, str]]:
    manifest, settings = evidence.manifest, fleet.settings
    trip = settings.get("trip_m")
    where = "all of the route" if trip is None else f"a drawn piece of {_km(trip[0])} to {_km(trip[1])}{NBSP}km"
    mix = ", ".join(f"{name} {percent(float(share))}" for name, share in settings["mix_share"].items())
    return [
        ("run", str(manifest["run_id"])),
        ("seed", str(manifest["seed"])),
        ("replications", f"{fleet.replications}, each with the same vehicles for every strategy"),
        ("vehicles", f"{count(fleet.vehicles)}, {count(fleet.simulated)} simulated"),
        ("they set out", f"at drawn instants over {seconds(float(settings['start_over_s']))}"),
        ("they drive", f"{where}; different drives: {count(int(settings['drives']))}"),
        ("strategies", f"in one fleet: {mix}" if mix else "each in a fleet of its own"),
        ("they share", ", ".join(settings["shared"]) or "nothing"),
        ("drain after each drive", seconds(float(manifest.get("drain_s") or 0.0))),
        ("digest of the records", str(manifest.get("digest") or "not recorded")),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.get("versions", {}).items()))),
        *(("input", f"{one['file']}, sha256 {str(one['sha256'])[:16]}…") for one in manifest.get("inputs", [])),
    ]


def _km(metres: float) -> str:
    return significant(float(metres) / 1000.0)


def _assumptions(evidence: Evidence, fleet: FleetRun) -> list[str]:
    how: dict[str, Any] = evidence.metrics["method"]
    lines = surroundings(evidence)
    can = fleet.capacity
    if can is not None and can.handshakes_per_s is not None:
        lines.append(
            f"The CPUs' {words.whole(can.handshakes_per_s)} handshakes/s are {words.nodes(fleet)} times"
            f" {can.cores} core{'s' if can.cores > 1 else ''} over the mean CPU time of the handshakes of this run."
        )
    lines += [
        *words.who_is_cut_off(fleet),
        f"Vehicles with the same drive meet the same radio; different drives: {count(int(fleet.settings['drives']))}.",
        *(_SCALED if fleet.courses and fleet.scale < 1.0 else ()),
        *(_QUEUES if fleet.courses and not fleet.idle else ()),
        "Timeline and states are kept of the first five vehicles; the command explain tells the messages of those.",
    ]
    if fleet.replications > 1:
        lines.append(
            f"Intervals are {percent(float(how['confidence']))} percentile bootstrap intervals over replications"
            f" ({int(how['resamples']):,} resamples)."
        )
    lines.append("What a fleet is and how its numbers are made: docs/fleets.md; every default with its source: docs/model.md.")
    return list(dict.fromkeys(lines))
