"""How the numbers were made: command, seed, versions, what is assumed here and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.measure.cost import has_parking
from sim.report.evidence import Evidence
from sim.report.numbers import NBSP, percent, significant

MODEL_PAGE = "docs/model.md"


@dataclass(frozen=True, slots=True)
class Method:
    """`command` is empty where it was not recorded; `facts` are (name, value), `assumptions` sentences."""

    command: str
    facts: tuple[tuple[str, str], ...]
    assumptions: tuple[str, ...]
    inputs: tuple[tuple[str, str], ...]


def method(evidence: Evidence) -> Method:
    manifest, how = evidence.manifest, evidence.metrics["method"]
    facts = [
        ("run", str(manifest["run_id"])),
        ("seed", str(manifest["seed"])),
        ("drives", f"{evidence.drives}" + (", each with every strategy" if len(evidence.strategies) > 1 else "")),
        ("drain after each drive", f"{significant(float(manifest.get('drain_s') or 0.0))}{NBSP}s"),
        ("phases of timers", _phases(str(manifest.get("phases", "not recorded")), len(evidence.strategies))),
        ("digest of the records", str(manifest.get("digest") or "not recorded")),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.get("versions", {}).items()))),
    ]
    inputs = [(str(one["file"]), str(one["sha256"])) for one in manifest.get("inputs", [])]
    return Method(str(manifest.get("command") or ""), tuple(facts), tuple(_assumptions(evidence, how)), tuple(inputs))


def _phases(how: str, strategies: int) -> str:
    if how == "drawn":
        return "drawn for each drive" + (", the same for all strategies" if strategies > 1 else "")
    if how == "fixed":
        return "fixed: every timer starts at 0 s, so detection times depend on when the disruption happens"
    return how


def provenance(evidence: Evidence) -> list[str]:
    """Which values are read rather than measured: sentences that stand beside every result."""
    lines = []
    if evidence.manifest.get("interrupted"):
        at = f" at {significant(float(evidence.manifest['ended_s']), 4)}{NBSP}s" if "ended_s" in evidence.manifest else ""
        lines.append(
            f"This run is partial: it was interrupted{at}. What would have come later is not counted, what was under way then is"
            " undelivered, and nothing here compares with a whole run."
        )
    for one in evidence.manifest.get("presets", []):
        where = "were measured in this lab" if one["status"] == "measured" else "are read from documents, not measured"
        own = ", ".join(one.get("overridden", []))
        except_for = f", except those set in the scenario: {own}" if own else ""
        lines.append(f"The broker's values ({one['preset']}, {one['version']}) {where}{except_for}.")
    config = evidence.manifest.get("broker_config") or {}
    if config.get("file"):
        unused = ", ".join(config.get("ignored", []))
        without = f"; not modelled of it: {unused}" if unused else ""
        lines.append(f"Values of the broker come from {config['file']}{without}.")
    lines += [str(note) for note in evidence.manifest.get("live_notes", [])]
    measured = [str(column) for column in evidence.manifest.get("measured", [])]
    if measured:
        lines.append(f"Measured in the drive log: {', '.join(measured)}. Everything else about the link is modelled.")
    elif evidence.manifest.get("world", "model") == "model":
        lines.append("The drive is modelled throughout; no column of it was measured.")
    return lines


def surroundings(evidence: Evidence) -> list[str]:
    """What the drive, the broker and the server side rest on: sentences."""
    lines = provenance(evidence)
    lines += [f"The drive: {note}" for note in evidence.manifest.get("drive_notes", [])]
    changed = _overridden(evidence)
    if changed:
        lines.append(f"Broker settings that the scenario changed: {changed}.")
    lines += _server_side(evidence)
    tls = evidence.manifest.get("settings", {}).get("server", {}).get("tls", {})
    if tls.get("profile"):
        mutual = ", client certificates on each handshake" if tls.get("mutual") else ""
        lines.append(f"TLS profile {tls['profile']}{mutual}, resumption {tls.get('resumption', 'off')}.")
    return lines


def _assumptions(evidence: Evidence, how: dict[str, Any]) -> list[str]:
    lines = surroundings(evidence)
    lines.append(
        f"Intervals are {percent(float(how['confidence']))} percentile bootstrap intervals over drives"
        f" ({int(how['resamples']):,} resamples); a value without one did not vary, or comes from a single drive."
    )
    comparisons = evidence.metrics["comparisons"]
    if len(evidence.strategies) > 1:
        told = [one for one in comparisons if one["verdict"] != "no evidence"]
        holding = sum(bool(one.get("holds")) for one in told)
        lines.append(
            "Strategies are compared by paired differences on the same drives, each interval for itself. Of the"
            f" {len(comparisons)} comparisons in metrics.json {len(told)} show a difference so, and {holding} of these hold after"
            f" Holm's correction for their number, which holds the chance of one false verdict at 5{NBSP}%."
        )
    lines.append("Latency quantiles are over all created messages; what was not delivered lies beyond the end of the run.")
    if has_parking(evidence.run.vehicles):
        lines.append(
            f"A vehicle-month is {how['days_a_month']:g} days at the rate of these drives, parking included; recovery episodes"
            " begin while the ignition is on, and one that parking cuts short is in no number but its own count."
        )
    else:
        lines.append(
            f"A vehicle-month is {how['hours_a_day']:g}{NBSP}h of driving a day on {how['days_a_month']:g} days,"
            " at the rate of bytes of these drives."
        )
    if all(evidence.of(name).get("radio_active_s") is None for name in evidence.strategies):
        lines.append("How long the radio was active is not measured in a live run.")
    within = f"{significant(float(how['probe_within_s']))}{NBSP}s"
    if any((evidence.of(name)["reachability"] or {}).get("n") for name in evidence.strategies):
        lines.append(
            f"Reachability is the share of the lab's own probe requests answered within {within};"
            " their bytes are not in the cost."
        )
    return lines


def _overridden(evidence: Evidence) -> str:
    broker = evidence.manifest.get("settings", {}).get("server", {}).get("broker", {})
    changed = {key: value for key, value in broker.items() if key not in ("preset", "config") and value is not None}
    return ", ".join(f"{key} = {value}" for key, value in sorted(changed.items()))


def _server_side(evidence: Evidence) -> list[str]:
    """Nodes, balancer, store and faults, where there are more than one node that never fails."""
    settings = evidence.manifest.get("settings", {})
    server, faults = settings.get("server", {}), settings.get("faults", [])
    nodes = len(server.get("nodes", {}).get("names", [])) or 1
    balancer = server.get("balancer")
    if nodes == 1 and balancer is None and not faults:
        return []
    behind = f" behind a balancer ({balancer['algorithm']})" if balancer is not None else ""
    many = f"{nodes} broker nodes" if nodes > 1 else "1 broker node"
    text = f"Server side: {many}{behind}, sessions in {server.get('store', {}).get('kind', 'memory')}"
    kinds = list(dict.fromkeys(str(fault["kind"]).replace("_", " ") for fault in faults))
    failing = f"; faults: {', '.join(kinds)}" if kinds else ""
    return [f"{text}{failing}. Its values are read or chosen, none of them was measured in this lab (docs/faults.md)."]
