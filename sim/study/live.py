"""Live runs of a scenario."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sim.drive.timeline import LinkTimeline
from sim.live.brokers import check_broker, preset_of, starts_in_s
from sim.live.client_command import ClientCommand
from sim.live.client_host import Client
from sim.live.environment import environment
from sim.live.observed.observe import ClientSettings
from sim.live.packages import REDIS, TLS, WIRE, require
from sim.live.playable import unplayable
from sim.live.run_certificates import RunCertificates, run_certificates
from sim.live.session import LINKS, LiveFailed, LiveRun, LiveSetting, live_strategy
from sim.live.store.place import StorePlace, read_place
from sim.live.store.run_store import RunStore, run_store
from sim.live.vehicle_log import LogFile
from sim.measure.attribution import attribute
from sim.measure.lateness import late_in_words
from sim.measure.summary import metrics
from sim.model.simulate import Setting, make_context
from sim.record.causes import UNATTRIBUTED
from sim.record.read import read_run
from sim.record.tables import concatenate, digest, drive_tables, frames, vehicle_columns, write
from sim.scenario.scenario import Scenario, StrategyChoice
from sim.server.build import NETWORK_FAULTS, instants
from sim.server.config import Fault
from sim.server.timeline import ServerTimeline
from sim.strategies.context import Context
from sim.study.manifest import manifest, plain
from sim.study.run import (
    Progress,
    RunResult,
    Tables,
    disruptions_of,
    drive_of,
    fault_key,
    model_setting,
    server_timeline,
    timeouts,
    users_own,
    write_json,
)
from sim.study.run_folder import new_run_folder, on_this_disk, results_writable

#: Signals that end a run and keep what was recorded.
_ENDING = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
LEAD_S = 3.0  # the machines start this long before the drive; the model is given the same
_PRESET_KEYS = ("server.broker", "server.broker.preset")
DRAIN_S = 30.0  # at most this much of the scenario's drain is waited for
CLIENT = "client"  # what a program of the user's own is in place of a strategy's `use`


class ModelOnly(Exception):
    """The scenario has parts that only the model plays; the message is one line that begins with the key."""


@dataclass(frozen=True, slots=True)
class LivePlan:
    """A scenario cut to what is run live: one drive, its window, and the setting that model and live share."""

    scenario: Scenario
    timeline: LinkTimeline
    setting: Setting
    keeps_preset: bool = False  # the preset is meant as it is, whatever broker is run
    client: ClientCommand | None = None  # a program of the user's own, run in the place of the strategy whose `use` is CLIENT

    @property
    def horizon_s(self) -> float:
        return self.timeline.end_s + self.setting.drain_s

    @property
    def happens(self) -> ServerTimeline:
        """To the server side. Its nodes are started with the run, and count their saves from there."""
        return server_timeline(self.scenario, 0, self.timeline.end_s, started_s=-LEAD_S)


def plan(
    scenario: Scenario,
    *,
    from_s: float = 0.0,
    until_s: float | None = None,
    drain_s: float | None = None,
    sets: Sequence[str] = (),
) -> LivePlan:
    """Drive 0 of the scenario, cut to [from_s, until_s] and shifted to 0. Raises ValueError where nothing is left, and ModelOnly.

    `sets`: the keys that were set by hand; a preset among them is kept whatever broker is run.
    """
    if scenario.fleet is not None:
        raise ModelOnly("fleet: played by the model alone; live is one vehicle")
    whole = drive_of(scenario, 0)
    timeline = cut(whole, from_s, until_s)
    if from_s > 0.0:
        scenario = dataclasses.replace(scenario, faults=_faults_from(scenario, whole.end_s, from_s))
    setting = model_setting(scenario)
    drain = min(scenario.drain_s, DRAIN_S) if drain_s is None else drain_s
    setting = dataclasses.replace(setting, drain_s=drain, start_s=0.0 if setting.phases_fixed else -LEAD_S)
    keeps_preset = any(one.partition("=")[0].strip() in _PRESET_KEYS for one in sets)
    return LivePlan(scenario, timeline, setting, keeps_preset)


def _faults_from(scenario: Scenario, end_s: float, from_s: float) -> tuple[Fault, ...]:
    """The faults at the instants at which they happen from `from_s` on, shifted; those of the network are in the drive."""
    found: list[Fault] = []
    for number, fault in enumerate(scenario.faults):
        if fault.kind in NETWORK_FAULTS:
            found.append(fault)
            continue
        for at_s in instants(scenario.faults, number, end_s, fault_key(scenario, 0)):
            if at_s >= from_s:
                found.append(dataclasses.replace(fault, at_s=at_s - from_s, per_hour=None))
    return tuple(found)


def check_playable(planned: LivePlan, broker: str) -> None:
    """Raise ModelOnly where the scenario has parts or faults that a live run with `broker` has no counterparts for."""
    scenario = planned.scenario
    why = unplayable(scenario.faults, scenario.server, broker)
    if why is not None:
        raise ModelOnly(why)


def with_client(planned: LivePlan, command: ClientCommand, *, beside: bool) -> LivePlan:
    """The plan with a program as vehicle, beside the scenario's strategies or instead of them.

    Raises:
        LiveFailed: the scenario needs answers that only the lab's own vehicles give.
    """
    scenario = planned.scenario
    if scenario.workload.ota is not None and scenario.workload.ota.window is not None:
        raise LiveFailed("--client: workload.ota.window waits for answers of the lab's own vehicle; use workload.ota.every")
    kept = scenario.strategies if beside else ()
    names = {choice.name for choice in kept}
    name = next(name for name in (command.name, *(f"{command.name}_{n}" for n in range(2, len(names) + 3))) if name not in names)
    choices = (*kept, StrategyChoice(CLIENT, name, ClientSettings()))
    objectives = tuple(one for one in scenario.objectives if one.strategy in names or one.strategy == name)
    scenario = dataclasses.replace(scenario, strategies=choices, objectives=objectives)
    return dataclasses.replace(planned, scenario=scenario, client=command)


def cut(timeline: LinkTimeline, from_s: float, until_s: float | None) -> LinkTimeline:
    """The part of a timeline in [from_s, until_s], shifted to start at 0."""
    end_s = timeline.end_s if until_s is None else min(until_s, timeline.end_s)
    if not 0.0 <= from_s < end_s:
        raise ValueError(f"nothing is left of the drive of {timeline.end_s:.1f} s between {from_s:.1f} s and {end_s:.1f} s")
    if from_s == 0.0 and end_s == timeline.end_s:
        return timeline
    first = int(np.searchsorted(timeline.start_s, from_s, side="right")) - 1
    last = int(np.searchsorted(timeline.start_s, end_s, side="left"))
    rows = slice(first, last)
    starts = np.maximum(timeline.start_s[rows] - from_s, 0.0)
    rebinds_s = tuple(at - from_s for at in timeline.rebinds_s if from_s < at < end_s)
    parked = tuple(
        (max(off_s - from_s, 0.0), on_s - from_s) for off_s, on_s in timeline.parked if on_s > from_s and off_s < end_s
    )
    kept = [
        dataclasses.replace(d, start_s=max(d.start_s - from_s, 0.0), end_s=d.end_s - from_s)
        for d in timeline.disruptions
        if d.end_s >= from_s and d.start_s < end_s
    ]
    columns = ("cell", "gateway", "address", "link", "rtt_s", "downlink_bps", "uplink_bps", "x_m", "y_m", "rsrp_dbm")
    parts: dict[str, Any] = {name: getattr(timeline, name)[rows].copy() for name in columns}
    return dataclasses.replace(
        timeline, start_s=starts, disruptions=tuple(kept), end_s=end_s - from_s, rebinds_s=rebinds_s, parked=parked, **parts
    )


def with_preset_of(planned: LivePlan, broker: str) -> LivePlan:
    """The plan with the preset measured on `broker`; single values that the scenario sets stay. Raises BrokerUnavailable.

    A balancer becomes a proxy, as haproxy is one.
    """
    scenario = planned.scenario
    server = scenario.server
    check_broker(broker, server)
    preset = preset_of(broker)
    if preset is not None and not planned.keeps_preset:
        server = dataclasses.replace(server, broker=dataclasses.replace(server.broker, preset=preset))
    if server.balancer is not None:
        server = dataclasses.replace(server, balancer=dataclasses.replace(server.balancer, proxy=True))
    if server == scenario.server:
        return planned
    scenario = dataclasses.replace(scenario, server=server)
    return dataclasses.replace(planned, scenario=scenario, setting=dataclasses.replace(planned.setting, server=server))


def run_live(
    planned: LivePlan,
    broker: str,
    link: str,
    *,
    certificates: Path | None = None,
    store: str = "memory",
    out: Path = Path("results"),
    command: str = "",
    say: Callable[[str], None] = lambda _text: None,
    progress: Progress | None = None,
) -> RunResult:
    """Run every strategy of the scenario live, side by side, and write a run folder like that of the model.

    A live run carries its start time in its id and is never the same twice. Ctrl-C ends it and keeps what was recorded.
    `certificates`: a folder that `python -m sim certificates` has written; new ones are made where it is not given.
    `store`: where the server side keeps registry and pending messages: `memory`, `redis` (one of the lab's own), or a URL.
    """
    place = read_place(store)
    planned = with_preset_of(planned, broker)
    check_playable(planned, broker)
    if link not in LINKS:  # before anything is made and said
        raise LiveFailed(f"no link {link!r}, known: {', '.join(LINKS)}")
    scenario = planned.scenario
    profile = scenario.server.tls.profile
    require(WIRE if profile == "none" else WIRE | TLS, f"a live run with server.tls={profile}")
    if place.kind != "memory":
        require(REDIS, f"--store {place.shown}")
    started = datetime.now(UTC)
    parent = out / scenario.name
    first = name = f"live-{started:%Y%m%dT%H%M%S}-{broker.replace(':', '_').replace('/', '_')}"
    serial = 2
    while (parent / name).exists():
        name = f"{first}-{serial}"
        serial += 1
    with new_run_folder(parent, name) as folder, on_this_disk(parent):
        vin = make_context(planned.setting, planned.timeline, 0, 0).vin
        log = LogFile(folder / "live.log")
        say(f"log: {log.path}")
        with run_certificates(scenario.server, [vin], folder / "certificates", certificates) as held, _handlers_kept():
            if held is not None:
                say(f"certificates, and while this run lasts their keys: {held.folder}")
            runs = asyncio.run(_stored(place, name, planned, broker, link, folder, held, log, say, progress))
        log.close()
        tables = _tables(planned, broker, runs)
        notes = _notes(runs)
        how_seen = [run.how_seen for run in runs.values() if run.how_seen]
        late = _lateness(runs)
        notes += late_in_words(late, planned.scenario.validation)
        with results_writable(parent):
            write(tables, folder)
            content = manifest(
                _as_seen(scenario, runs),
                measured=list(planned.timeline.measured),
                notes=list(planned.timeline.notes),
                command=command,
                keep_inputs=True,
                folder=folder,
            )
            content |= {
                "run_id": name,
                "world": "live",
                "replications": 1,
                "drain_s": planned.setting.drain_s,
                "started": started.isoformat(),
                "broker": sorted({run.broker_version for run in runs.values()}),
                "link": link,
                "store": sorted({run.store_version or "memory" for run in runs.values()}),
                "interrupted": any(run.interrupted for run in runs.values()),
                "ended_s": max(run.ended_s for run in runs.values()),
                "lateness": late,
            }
            content |= _of_client(planned, content, runs) | {"live_notes": [*how_seen, *notes]}
            content["environment"] |= environment(next(iter(runs.values())).congestion_control)
            write_json(folder / "manifest.json", content)
            numbers = metrics(read_run(folder))
            write_json(folder / "metrics.json", numbers)
            content["digest"] = digest(tables, numbers)
            write_json(folder / "manifest.json", content)
    failed = any(run.program is not None and run.program.failed for run in runs.values())
    return RunResult(parent / name, numbers, bool(content["interrupted"]), tuple(notes), failed)


def _lateness(runs: dict[str, LiveRun]) -> dict[str, dict[str, float]]:
    """Of timers and of packets the worst of the strategies, in s."""
    found: dict[str, dict[str, float]] = {}
    for what in ("timers", "packets"):
        parts = [part for run in runs.values() if (part := run.lateness.get(what, {})).get("n")]
        if parts:
            found[what] = {"n": sum(part["n"] for part in parts)}
            found[what] |= {f"{name}_s": round(max(part[f"{name}_ms"] for part in parts) / 1e3, 6) for name in ("p99", "max")}
    return found


def _notes(runs: dict[str, LiveRun]) -> list[str]:
    """What happened beside the drive; with several strategies it is said to which."""
    notes = [(name, note) for name, run in runs.items() for note in run.notes]
    if len(runs) == 1:
        return [note for _, note in notes]
    return [f"{name}: {note}" for name, note in notes]


def _as_seen(scenario: Scenario, runs: dict[str, LiveRun]) -> Scenario:
    """The scenario with the settings that a program of the user's own was seen to have."""
    choices = [
        dataclasses.replace(choice, config=runs[choice.name].settings or choice.config) if choice.use == CLIENT else choice
        for choice in scenario.strategies
    ]
    return dataclasses.replace(scenario, strategies=tuple(choices))


def _of_client(planned: LivePlan, content: dict[str, Any], runs: dict[str, LiveRun]) -> dict[str, Any]:
    """Entries of the manifest about a program of the user's own; empty where there was none."""
    found: dict[str, Any] = {}
    for entry in content["strategies"]:
        if entry["use"] == CLIENT and planned.client is not None:
            entry["config"] = {key: value for key, value in entry["config"].items() if value is not None}
            end = runs[entry["name"]].program
            found["client"] = {
                "command": list(planned.client.words),
                "exit_code": end.code if end is not None else None,
                "ended_s": end.at_s if end is not None else None,
                "last_words": end.last_words if end is not None else "",
            }
    return found


async def _stored(
    place: StorePlace,
    run_id: str,
    planned: LivePlan,
    broker: str,
    link: str,
    folder: Path,
    certificates: RunCertificates | None,
    log: LogFile,
    say: Callable[[str], None],
    progress: Progress | None,
) -> dict[str, LiveRun]:
    async with run_store(place, run_id, folder / "store") as store:
        return await _all(planned, broker, link, store, folder, certificates, log, say, progress)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """A loop that closes leaves the system's own reactions to signals behind, not those that were there before."""
    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: set by something that is not Python
                signal.signal(number, handler)


async def _all(
    planned: LivePlan,
    broker: str,
    link: str,
    store: RunStore,
    folder: Path,
    certificates: RunCertificates | None,
    log: LogFile,
    say: Callable[[str], None],
    progress: Progress | None,
) -> dict[str, LiveRun]:
    scenario = planned.scenario
    context = make_context(planned.setting, planned.timeline, 0, 0)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, stop.set)
    beside = f", {len(scenario.strategies)} strategies side by side" if len(scenario.strategies) > 1 else ""
    say(f"{planned.horizon_s - context.start_s:.0f} s in real time{beside}")
    tasks: list[asyncio.Task[LiveRun]] = []
    together = asyncio.Barrier(len(scenario.strategies))
    for choice in scenario.strategies:
        setting = LiveSetting(
            scenario.server,
            scenario.drive.network,
            scenario.drive.link.queue_bytes,
            broker,
            link,
            planned.horizon_s,
            folder / "broker" / choice.name.replace("/", "_").replace(" ", "_"),
            together=together,
            certificates=certificates.made if certificates is not None else None,
            redis=store.place_of(choice.name),
            happens=planned.happens,
            starts_in_s=starts_in_s(broker),
            log=functools.partial(log.line, choice.name),
            say=functools.partial(_say_of, say, choice.name),
        )
        if progress is not None and not tasks:  # they run on one clock, so that of the first is enough
            setting.at = functools.partial(_show, progress, context.start_s, planned.horizon_s)
        if choice.use == CLIENT and planned.client is not None:
            setting.client = Client(planned.client, _values(scenario, context, certificates), folder)
        user = users_own(choice, scenario.folder)
        tasks.append(
            asyncio.create_task(
                live_strategy(setting, planned.timeline, context, choice.use, choice.config, user=user, stop=stop)
            )
        )
    try:
        results = await asyncio.gather(*tasks)
    except BaseException:
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return {choice.name: run for choice, run in zip(scenario.strategies, results, strict=True)}


def _show(progress: Progress, start_s: float, horizon_s: float, now: float) -> None:
    total = round(horizon_s - start_s)
    done = min(max(round(now - start_s), 0), total)
    progress(done, total, "s of the drive" if done < total else "reading what was recorded")


def _say_of(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}: {text}")


def _values(scenario: Scenario, context: Context, certificates: RunCertificates | None) -> dict[str, str]:
    """What the placeholders in a client's command stand for."""
    server = scenario.server
    found = {
        "host": server.name,
        "port": str(server.mqtt_port),
        "client_id": context.client_id,
        "username": context.client_id,
        "vin": context.vin,
    }
    if certificates is not None:
        files = {"ca": "ca.crt", "cert": "vmg.crt", "key": "vmg.key"}
        found |= {name: str((certificates.folder / file).absolute()) for name, file in files.items()}
    return found


def _tables(planned: LivePlan, broker: str, runs: dict[str, LiveRun]) -> Tables:
    parts = []
    for choice in planned.scenario.strategies:
        run = runs[choice.name]
        _mark_path_ends(run, _horizon_s(planned, run))
        outcomes = run.record.outcomes(run.held)
        tables = _vehicle(planned, choice.name, run, outcomes)
        if not run.broker_is_ours:
            causes = _attributed(planned, run, choice.config, tables)
            outcomes = [
                (("pending", "") if causes.get(message.id) == "" else ("lost", causes.get(message.id, UNATTRIBUTED)))
                if outcome == "lost" and cause in ("", UNATTRIBUTED)
                else (outcome, cause)
                for message, (outcome, cause) in zip(run.record.messages, outcomes, strict=True)
            ]
            tables = _vehicle(planned, choice.name, run, outcomes)
        parts.append(tables)
    # with several strategies the drive is the one that they share; what was done to one of them by hand is in the notes
    driven = next(iter(runs.values())).timeline if len(runs) == 1 else planned.timeline
    if any(run.interrupted for run in runs.values()):
        driven = driven_until(driven, max(run.ended_s for run in runs.values()))
    happened = [event for event in disruptions_of(planned.happens) if event.start_s < driven.end_s]
    return concatenate(parts) | concatenate([drive_tables(driven, 0, 0, happened)])


def driven_until(timeline: LinkTimeline, ended_s: float) -> LinkTimeline:
    """The drive up to the instant of an interruption, of which a moment is left in any case."""
    return cut(timeline, 0.0, max(ended_s, 0.001))


def _horizon_s(planned: LivePlan, run: LiveRun) -> float:
    return run.ended_s if run.interrupted else planned.horizon_s


def _vehicle(planned: LivePlan, name: str, run: LiveRun, outcomes: list[tuple[str, str]]) -> Tables:
    """Tables of one strategy. What would have been created after an interruption never was."""
    timeline = driven_until(run.timeline, run.ended_s) if run.interrupted else run.timeline
    last = int(timeline.address[-1])
    columns = vehicle_columns(
        run.record,
        outcomes,
        strategy=name,
        replication=0,
        vehicle=0,
        start_s=-LEAD_S,
        end_s=timeline.end_s,
        horizon_s=max(_horizon_s(planned, run), timeline.end_s),
        radio_active_s=math.nan,
        current_address=timeline.addresses[last] if last >= 0 else "",
        timeouts=timeouts(planned.scenario),
        parked=timeline.parked,
    )
    tables = frames(columns)
    if run.interrupted:
        tables["messages"] = tables["messages"].filter(pl.col("created_s") <= run.ended_s)
    return tables


def _mark_path_ends(run: LiveRun, horizon_s: float) -> None:
    """When the path beneath each connection died: what the timeline did to its address, as no socket tells.

    Where the NAT forgot it sooner, since it was idle, that is in the row already.
    """
    timeline = run.timeline
    starts = timeline.start_s.tolist()
    held = [timeline.addresses[a] if a >= 0 else "" for a in timeline.address.tolist()]
    for row in run.record.connections:
        ends = next((at for at, name in zip(starts, held, strict=True) if at > row.asked_s and name != row.address), math.inf)
        over_s = row.noticed_s if row.noticed_s == row.noticed_s else horizon_s
        if row.opener == "vehicle":
            ends = min(ends, next((at for at in timeline.rebinds_s if at > row.asked_s), math.inf))
        forgotten_s = row.path_end_s if row.path_end_s == row.path_end_s else math.inf
        if row.address and ends < min(over_s, forgotten_s):
            row.path_end_s = ends


def pings_of(trace: pl.DataFrame) -> list[float]:
    """When the vehicle sent PINGREQ."""
    sent = (pl.col("source") == "vehicle") & (pl.col("kind") == "send_packet") & (pl.col("detail") == "PINGREQ")
    return trace.filter(sent)["time_s"].to_list()


def _attributed(planned: LivePlan, run: LiveRun, config: Any, tables: Tables) -> dict[int, str]:
    setting = planned.setting
    behaviour = plain(setting.server.broker.behaviour())
    if run.settings is not None:
        config = run.settings
        if run.settings.granted_qos is not None:
            behaviour["qos_max"] = min(behaviour["qos_max"], run.settings.granted_qos)
    lossy = (run.timeline.link == 2).tolist()
    horizon_s = _horizon_s(planned, run)
    starts = [*run.timeline.start_s.tolist(), horizon_s]
    outages = [(starts[i], starts[i + 1]) for i, lost in enumerate(lossy) if lost]
    found = attribute(
        tables["messages"],
        tables["connections"],
        behaviour,
        plain(config),
        plain(setting.workload),
        horizon_s,
        outages,
        planned.scenario.drive.network.reassignment.old_path,
        pings_of(tables["trace"]),
        *_restarts(planned),
    )
    return dict(zip(found["message"].to_list(), found["cause"].to_list(), strict=True))


def _restarts(planned: LivePlan) -> tuple[list[float], list[float]]:
    """When the only node of the broker was killed, and those instants at which the sessions were lost with them."""
    store = planned.scenario.server.session_store()
    if len(planned.scenario.server.nodes.names) > 1:
        return [], []  # the sessions are in the store that the nodes share: the end of one takes nothing
    killed_s = [down.start_s for down in planned.happens.downs]
    lost = store.kind == "memory" or (store.kind == "disk" and (store.save_interval_s or 0.0) > 0.0)
    return killed_s, killed_s if lost else []
