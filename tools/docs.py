"""Write the generated parts of docs/model.md, docs/results.md and ARCHITECTURE.md: tables, simplifications, state diagrams.

    python tools/docs.py           write them
    python tools/docs.py --check   say which are not current; exit code 1 when one is not
    python tools/docs.py --numbers run scenarios and renew the results quoted in README.md and docs/own_strategy.md (a minute)

A generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; what is outside is written by hand.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import re
import shutil
import sys
import tempfile
import tokenize
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sim.protocols.broker_presets import PRESETS, Broker, BrokerBehaviour  # noqa: E402 - the path comes first
from sim.protocols.tcp import TCP, gives_up_after_s, rto_s, syn_gives_up_s, syn_instants  # noqa: E402
from sim.protocols.tls import TLS, extra_round_trips, handshake  # noqa: E402
from sim.record.causes import CAUSES, PURPOSES  # noqa: E402
from sim.record.schema import TABLES, Column  # noqa: E402
from sim.record.study_schema import STUDY_TABLES  # noqa: E402
from sim.scenario.models import Key, default_text, keys_of, text_of  # noqa: E402
from sim.scenario.shape import ScenarioFile  # noqa: E402
from sim.strategies.backoff import POLICIES  # noqa: E402
from sim.strategies.catalog import STRATEGIES  # noqa: E402
from sim.strategies.config import MQTTConnection  # noqa: E402

Rows = Sequence[tuple[str, ...]]

#: How a source names a section of docs/sources.md: `brokers 4`, `real-world 2.1`, `failure-modes F22`, `seed`.
CITATION = re.compile(
    r"\b(?P<name>brokers|linux tcp|pqc-tls|failure[- ]modes|real[- ]world|seed|design)\b(?: (?P<number>[TF]?\d+(?:\.\d)?)\b)?",
    re.IGNORECASE,
)

#: Figures in the code that no scenario sets: module, name, unit, what it means, where it comes from.
CONSTANTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("sim.drive.rtt", "INFLATED_S", "s", "the RTT is inflated for so long after a cell change", "Real world 3"),
    ("sim.drive.rtt", "DIP_S", "s", "the downlink dips for so long after a cell change", "Real world 3"),
    ("sim.drive.rtt", "RATE_CORRELATION", "", "correlation of the log rate at 1 s", "Real world 1.1"),
    ("sim.drive.rtt", "TAIL_SHAPE", "", "shape of the Pareto tail of the RTT", "from the silences of Real world 1.1"),
    ("sim.drive.rtt", "LEAST_BPS", "bit/s", "a lower rate counts as this", "our choice"),
    ("sim.drive.path_loss", "VEHICLE_HEIGHT_M", "m", "height of the vehicle's antenna", "TR 38.901 table 7.4.1-1"),
    ("sim.protocols.tcp", "HEADER_BYTES", "bytes", "IPv4, TCP and timestamps, for each segment", "RFC 791, 9293, 7323"),
    ("sim.protocols.tls", "RECORD_OVERHEAD_BYTES", "bytes", "overhead of a TLS record", "RFC 8446 5.2"),
    ("sim.protocols.http", "REQUEST_HEADER_BYTES", "bytes", "request line and headers", "estimate"),
    ("sim.protocols.http", "RESPONSE_HEADER_BYTES", "bytes", "status line and headers", "estimate"),
    ("sim.protocols.http", "MESSAGE_FRAME_BYTES", "bytes", "JSON around a message in a batch", "estimate"),
    ("sim.strategies.mqtt_vehicle", "UPLINK_WINDOW", "", "unacknowledged uplink messages", "Failure modes 5: paho-python"),
    ("sim.strategies.push_vehicle", "HEARTBEAT_BYTES", "bytes", "body of a heartbeat", "Seed, strategy 2 B; counted"),
    ("sim.strategies.ota", "ACK_BYTES", "bytes", "the vehicle's answer to a chunk, with `window`", "our choice"),
    ("sim.model.network", "RRC_TAIL_S", "s", "RRC inactivity timer: the radio stays active for so long", "Real world 3"),
    ("sim.model.simulate", "START_LEAD_S", "s", "the vehicle is connected for so long before the drive, at least", "our choice"),
    ("sim.model.simulate", "START_SPREAD_S", "s", "and for up to so much longer, drawn", "our choice"),
    ("sim.measure.recovery", "HIDDEN_S", "s", "a shorter loss of packets begins no recovery episode", "RFC 6298 5.5"),
    ("sim.measure.cost", "HOURS_A_DAY", "h", "driving time behind a vehicle-month, on drives without parking", "our choice"),
    ("sim.measure.cost", "DAYS_A_MONTH", "", "days in a vehicle-month", "our choice"),
    ("sim.measure.stats", "RESAMPLES", "", "resamples of the bootstrap", "our choice"),
    ("sim.measure.stats", "CONFIDENCE", "", "coverage of the intervals", "our choice"),
)

#: Machines whose tables are drawn: title, module, enum of the states.
MACHINES: tuple[tuple[str, str, str], ...] = (
    ("MQTTVehicle, the vehicle's MQTT connection (strategies 1 and 3)", "sim.strategies.mqtt_vehicle", "State"),
    ("HybridVehicle, which channel carries messages (strategy 3)", "sim.strategies.hybrid", "Mode"),
    ("HTTPClient, one exchange (polls, heartbeats, POSTs, downloads)", "sim.protocols.http", "State"),
    ("UpdateClient, an update that the vehicle fetches", "sim.strategies.update_client", "State"),
    ("PushVehicle, whether the server knows the address (strategy 2)", "sim.strategies.push_vehicle", "State"),
    ("PushBackend, the server's connections to a vehicle (strategy 2, static_push)", "sim.strategies.push_backend", "State"),
    ("MQTTSession, what the broker keeps for a client id", "sim.protocols.mqtt_session", "State"),
)


def main(arguments: list[str]) -> int:
    """Write or check the parts; returns the exit code."""
    check = "--check" in arguments
    stale = []
    if "--numbers" in arguments:
        renew_numbers()
    for path in (ROOT / "docs" / "model.md", ROOT / "docs" / "results.md", ROOT / "ARCHITECTURE.md"):
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after == before:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.write_text(after, encoding="utf-8")
    for path_name in stale:
        print(f"{path_name}: {'not current, run python tools/docs.py' if check else 'written'}")
    return 1 if check and stale else 0


def filled(text: str, parts: Mapping[str, Callable[[], str]] | None = None) -> str:
    """The text with every generated part made anew. KeyError for a part that is not known."""

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        made = (PARTS if parts is None else parts)[name]().strip()
        return f"<!-- generated: {name} -->\n\n{made}\n\n<!-- end of {name} -->"

    return re.sub(r"<!-- generated: (?P<name>[\w-]+) -->\n.*?<!-- end of (?P=name) -->", part, text, flags=re.DOTALL)


# --- settings -----------------------------------------------------------------------------------------------------------


def sections(cls: type, at: str = "") -> Iterator[tuple[str, type]]:
    """(dotted key, settings dataclass) of `cls` and everything below it, in the order of the file."""
    yield at, cls
    for name, key in keys_of(cls).items():
        for inner in _settings_in(key.hint):
            if inner is not Broker:  # all of its keys say "see the presets", which have a table of their own
                yield from sections(inner, f"{at}.{name}" if at else name)


def _settings_in(hint: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for inner in typing.get_args(hint):
        yield from _settings_in(inner)


def _settings_table(cls: type, leave_out: Mapping[str, Key] | None = None) -> str:
    rows: list[tuple[str, ...]] = []
    for name, key in keys_of(cls).items():
        if leave_out and name in leave_out and leave_out[name].field == key.field:
            continue
        rows.append((f"`{name}`", _default(key), key.field.metadata.get("doc", ""), linked(key.field.metadata.get("source", ""))))
    return _table(("key", "default", "meaning", "source"), rows)


def linked(source: str) -> str:
    """A source with links to the sections of docs/sources.md that it names."""

    def link(match: re.Match[str]) -> str:
        place = match["name"].lower().replace(" ", "-") + (f"-{match['number'].lower()}" if match["number"] else "")
        return f"[{match[0]}](sources.md#{place})"

    return CITATION.sub(link, source)


def _default(key: Key) -> str:
    if any(True for _ in _settings_in(key.hint)):
        return "below" if key.field.default is dataclasses.MISSING else "none (below)"
    if key.field.default is dataclasses.MISSING and key.field.default_factory is dataclasses.MISSING:
        return "required"
    return default_text(key) or "none"


def _settings_of(keys: tuple[str, ...]) -> str:
    """Tables of the sections of the scenario file that begin with one of the keys."""
    out: list[str] = []
    for at, cls in sections(ScenarioFile):
        if at.split(".")[0] in keys and at:
            out.append(f"#### `{at}`\n\n{_about(cls)}{_settings_table(cls)}")
    return "\n\n".join(out)


def _about(cls: type) -> str:
    """The first sentence of the class's own docstring, if it has one."""
    text = cls.__dict__.get("__doc__") or ""
    if not text or text.startswith(f"{cls.__name__}("):
        return ""
    return f"{_cell(' '.join(text.split()))}\n\n"


def settings_top() -> str:
    """Keys of the file itself, without the sections."""
    rows = [
        (f"`{name}`", _default(key), key.field.metadata.get("doc", ""), linked(key.field.metadata.get("source", "")))
        for name, key in keys_of(ScenarioFile).items()
    ]
    return _table(("key", "default", "meaning", "source"), rows)


def settings_strategies() -> str:
    """What all strategies with MQTT have, then what each one adds or has another default of."""
    shared = keys_of(MQTTConnection)
    out = [f"#### Every strategy with an MQTT connection\n\n{_settings_table(MQTTConnection)}"]
    inner: dict[type, str] = {}
    for name, (cls, line, _baseline) in STRATEGIES.items():
        mine = shared if issubclass(cls, MQTTConnection) else None
        own = [key for key, what in keys_of(cls).items() if mine is None or key not in mine or mine[key].field != what.field]
        text = _settings_table(cls, mine) if own else "The settings above, with their defaults."
        lead = "The settings above, and:\n\n" if mine is not None and own else ""
        out.append(f"#### `{name}`\n\n{_cell(line)}\n\n{lead}{text}")
        for at, found in sections(cls):
            if at:
                inner.setdefault(found, at)
    for found, at in inner.items():
        out.append(f"#### `{at}` of a strategy\n\n{_about(found)}{_settings_table(found)}")
    policies = [(f"`{name}`", line) for name, (_function, line) in POLICIES.items()]
    out.append("#### Backoff policies\n\n" + _table(("policy", "wait after a failed attempt"), policies))
    return "\n\n".join(out)


# --- tables of behaviour ------------------------------------------------------------------------------------------------


def presets() -> str:
    """The presets: what each is, then every field in which one departs from the standard."""
    heads = [(f"`{name}`", line, b.version, b.status) for name, (b, line) in PRESETS.items()]
    spec = PRESETS["spec"][0]
    names = list(PRESETS)
    rows: list[tuple[str, ...]] = []
    for name, key in keys_of(BrokerBehaviour).items():
        field = key.field.name
        if field in ("version", "status"):
            continue
        base = getattr(spec, field)
        values = [getattr(PRESETS[preset][0], field) for preset in names]
        cells = ["" if at and value == base else _plain(text_of(value, key.kind)) for at, value in enumerate(values)]
        rows.append((f"`{name}`", key.field.metadata.get("doc", ""), *cells))
    return (
        _table(("preset", "what it is", "version", "status"), heads)
        + "\n\nAn empty cell is the value of `spec`.\n\n"
        + _table(("value", "meaning", *(f"`{name}`" for name in names)), rows)
    )


def _plain(text: str) -> str:
    """Infinity in words, and a number that only stands for "no limit"."""
    return {"inf s": "never", "2147483648": "no limit"}.get(text, text)


def tls_costs() -> str:
    """Handshakes by profile, from the same functions that the model calls."""
    rows: list[tuple[str, ...]] = []
    tcp = TCP()
    for profile, signature, word in (
        ("classical", "ml-dsa-44", "classical"),
        ("hybrid", "ml-dsa-44", "hybrid"),
        ("pqc", "ml-dsa-44", "pqc, ML-DSA-44"),
        ("pqc", "ml-dsa-65", "pqc, ML-DSA-65"),
    ):
        for resumption in ("off", "stateless", "stateful"):
            tls = TLS(profile=profile, signature=signature, resumption=resumption)  # type: ignore[arg-type]
            cost = handshake(tls, resumed=resumption != "off")
            assert cost is not None
            flights = (cost.client_hello_bytes, cost.server_flight_bytes, cost.client_flight_bytes, cost.tickets_bytes)
            extra = [extra_round_trips(n, tcp.mss_bytes, tcp.initial_window) for n in flights[1:3]]
            how = "full" if resumption == "off" else f"resumed, {resumption} ticket"
            cpu = f"{cost.client_cpu_s * 1e6:.0f} / {cost.server_cpu_s * 1e6:.0f}"
            rows.append((word, how, *(str(n) for n in flights), cpu, str(sum(extra))))
    flight_names = ("ClientHello", "server flight", "client flight", "tickets")
    return _table(("profile", "handshake", *flight_names, "CPU client / server, us", "extra round trips"), rows)


def tcp_figures() -> str:
    """What follows from the TCP settings for a path of 80 ms."""
    rows: list[tuple[str, ...]] = []
    for tcp in (TCP(), TCP(preset="rfc6298")):
        rto = rto_s(tcp, 0.08)
        instants = ", ".join(f"{at:g}" for at in syn_instants(tcp))
        rows += [
            (tcp.preset, "RTO on a steady path of 80 ms", f"{rto:.3f} s"),
            (tcp.preset, "SYN sent at", f"{instants} s; given up at {syn_gives_up_s(tcp):g} s"),
            (tcp.preset, f"unacknowledged data, retries2 {tcp.retries2}", f"given up after {gives_up_after_s(tcp, rto):.1f} s"),
            (tcp.preset, "the same, retries2 5", f"{gives_up_after_s(dataclasses.replace(tcp, retries2=5), rto):.1f} s"),
            (tcp.preset, "the same, TCP_USER_TIMEOUT 10 s", f"{gives_up_after_s(tcp, rto, 10.0):.1f} s"),
        ]
    return _table(("preset", "what", "value"), rows)


def constants() -> str:
    """Figures that no scenario sets."""
    rows = []
    for module, name, unit, meaning, source in CONSTANTS:
        value = getattr(import_module(module), name)
        shown = f"{value:g}" if isinstance(value, float) else f"{value:,}"
        rows.append((meaning, f"{shown} {unit}".strip(), linked(source), f"`{module}.{name}`"))
    return _table(("meaning", "value", "source", "where"), rows)


def causes() -> str:
    """The closed list of causes and that of the purposes of bytes."""
    lost = _table(("cause", "a message was lost because"), [(f"`{name}`", text) for name, text in CAUSES.items()])
    spent = _table(("purpose", "bytes spent on"), [(f"`{name}`", text) for name, text in PURPOSES.items()])
    return f"{lost}\n\n{spent}"


# --- simplifications ----------------------------------------------------------------------------------------------------


_KINDS = {"f8": "float64", "i4": "int32", "i8": "int64", "b": "boolean", "s": "text"}


def tables_of(tables: Mapping[str, Sequence[Column]]) -> str:
    """The columns of each Parquet file."""
    parts = []
    for name, columns in tables.items():
        rows = [(f"`{column.name}`", _KINDS[column.kind], column.doc) for column in columns]
        parts.append(f"### {name}.parquet\n\n{_table(('column', 'type', 'meaning'), rows)}")
    return "\n\n".join(parts)


def simplifications() -> str:
    """Every `Simplification:` of the code with the file that makes it."""
    rows: list[tuple[str, ...]] = []
    for path in sorted((ROOT / "sim").rglob("*.py")):
        where = f"`{path.relative_to(ROOT).as_posix()}`"
        rows += [(text, where) for text in simplifications_in(path.read_text(encoding="utf-8"))]
    return _table(("what is simplified", "where"), rows)


def simplifications_in(source: str) -> list[str]:
    """The simplifications of one file, in its order; each ends with its paragraph or where the next one begins."""
    found: list[tuple[int, str]] = []
    for line, text in [*_docstrings(source), *_comments(source)]:
        for paragraph in re.split(r"\n\s*\n", text):
            flat = " ".join(paragraph.split())
            for place, piece in enumerate(re.split(r"Simplification:\s*", flat)[1:]):
                found.append((line * 100 + place, _closed(piece.strip())))
    return [text[0].upper() + text[1:].rstrip(".") + "." for _order, text in sorted(found)]


def _closed(text: str) -> str:
    """Cut at a parenthesis that was opened before the simplification began."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            return text[:at].rstrip(". ") + "."
    return text.rstrip()


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and "Simplification:" in text:
                yield node.body[0].lineno, text


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Comments; those on consecutive lines are one."""
    start, last = 0, -2
    lines: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            if any("Simplification:" in line for line in lines):
                yield start, "\n".join(lines)
            start, lines = token.start[0], []
        last = token.start[0]
        lines.append(token.string.lstrip("#: "))
    if any("Simplification:" in line for line in lines):
        yield start, "\n".join(lines)


# --- diagrams -----------------------------------------------------------------------------------------------------------


def diagrams() -> str:
    """The machines' tables as Mermaid state diagrams."""
    return "\n\n".join(f"**{title}**\n\n```mermaid\n{diagram(module, enum)}\n```" for title, module, enum in MACHINES)


def diagram(module_name: str, enum_name: str) -> str:
    """One table as a diagram: the first state of the enum is where the machine starts."""
    module = import_module(module_name)
    states: list[Enum] = list(getattr(module, enum_name))
    table: Mapping[Enum, frozenset[Enum]] = module.TRANSITIONS
    lines = ["stateDiagram-v2", f"    [*] --> {states[0].value}"]
    for state in states:
        lines += [f"    {state.value} --> {after.value}" for after in states if after in table.get(state, frozenset())]
    return "\n".join(lines)


# --- results that are quoted ---------------------------------------------------------------------------------------------


def renew_numbers() -> None:
    """Run what README.md and docs/own_strategy.md quote, and put the results and the figure there."""
    import sim  # here, since the other parts run nothing

    with tempfile.TemporaryDirectory() as out:
        result = sim.run(ROOT / "scenarios" / "city_a_to_b.yaml", jobs=2, out=out)
        images = ROOT / "docs" / "images"
        images.mkdir(exist_ok=True)
        shutil.copyfile(result.run_dir / "figures" / "zoom_reassignment.png", images / "new_address.png")
        _rewrite(ROOT / "README.md", {"headline": lambda: _headline(result.metrics)})
        own = ROOT / "docs" / "examples" / "own_strategies.yaml"
        varied = sim.run(own, varies=["eager.backoff.cap=2 s,20 s"], out=out, report=False)
        _rewrite(ROOT / "docs" / "own_strategy.md", {"eager": lambda: _eager(varied)})


def _rewrite(path: Path, parts: Mapping[str, Callable[[], str]]) -> None:
    path.write_text(filled(path.read_text(encoding="utf-8"), parts), encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: numbers renewed")


def _headline(metrics: Mapping[str, Any]) -> str:
    """What the command line prints at the end of a run, without the place of the results."""
    from sim.terminal import print_summary

    caught = io.StringIO()
    with contextlib.redirect_stdout(caught):
        print_summary(metrics, Path("results"), None)
    lines = [line.rstrip() for line in caught.getvalue().splitlines() if "results in" not in line]
    return "```\n" + "\n".join(lines).strip() + "\n```"


def _eager(result: Any) -> str:
    """Recovery and prompt delivery of the variants, each with its paired difference to strategy 1."""
    import sim

    found = sim.compare(result, metrics=["recovery_s.mean", "all.delivered_within_10s"])
    rows = []
    for name in result.strategies:
        mean_s = result.metrics["strategies"][name]["intervals"]["recovery_s.mean"]["mean"]
        cells = []
        for metric, factor in (("recovery_s.mean", 1.0), ("all.delivered_within_10s", 100.0)):
            row = next((row for row in found.to_dicts() if row["a"] == name and row["metric"] == metric), None)
            if row is None:
                cells.append("")
                continue
            shown = f"{row['difference'] * factor:+.1f}"
            interval = "" if row["low"] is None else f" ({row['low'] * factor:+.1f} to {row['high'] * factor:+.1f})"
            cells.append(f"{shown}{interval}, {row['verdict']}")
        rows.append((f"`{name}`", f"{mean_s:.1f} s", *cells))
    head = ("variant", "mean recovery", "difference, s (95 % interval)", "delivered within 10 s, difference in points")
    return _table(head, rows)


# --- Markdown -----------------------------------------------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: Rows) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


PARTS: dict[str, Callable[[], str]] = {
    "settings-top": settings_top,
    "settings-drive": lambda: _settings_of(("route", "towers", "script", "recorded", "network", "radio", "handover", "link")),
    "settings-server": lambda: _settings_of(("server",)),
    "settings-faults": lambda: _settings_of(("faults",)),
    "settings-fleet": lambda: _settings_of(("fleet",)),
    "settings-workload": lambda: _settings_of(("workload",)),
    "settings-validation": lambda: _settings_of(("validation",)),
    "settings-strategies": settings_strategies,
    "presets": presets,
    "tls": tls_costs,
    "tcp": tcp_figures,
    "constants": constants,
    "causes": causes,
    "simplifications": simplifications,
    "diagrams": diagrams,
    "run-tables": lambda: tables_of(TABLES),
    "sweep-tables": lambda: tables_of(STUDY_TABLES),
}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
