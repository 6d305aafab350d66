"""Write the generated part of docs/brokers.md: what was seen of each real broker beside its preset.

python tools/broker_table.py                       write it, from docs/brokers.json
python tools/broker_table.py --check               say whether it is current; exit code 1 when it is not
python tools/broker_table.py --record [BROKER...]  first start the real brokers that are there, one after the other, probe
                                                   them (half a minute each) and renew their part of docs/brokers.json
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sim.live.brokers import BROKERS, start_broker  # noqa: E402 - the path comes first
from sim.live.probe.client import Peer  # noqa: E402
from sim.live.probe.findings import Findings  # noqa: E402
from sim.live.probe.script import new_run, probe  # noqa: E402
from sim.protocols.broker_presets import PRESETS, BrokerBehaviour  # noqa: E402
from sim.scenario.models import keys_of, text_of  # noqa: E402

SEEN = ROOT / "docs" / "brokers.json"
PAGE = ROOT / "docs" / "brokers.md"
BEGIN, END = "<!-- generated: brokers -->", "<!-- end of brokers -->"


async def record(names: Sequence[str]) -> dict[str, Any]:
    """Start and probe each broker; returns what docs/brokers.json holds of it."""
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="handover-lab-") as folder:
            broker = await start_broker(name, Path(folder))
            login = broker.login
            peer = Peer(
                broker.host,
                broker.port,
                new_run(),
                username=login.username if login else None,
                password=login.password if login else None,
            )
            try:
                print(f"{name}: {broker.version}", file=sys.stderr)
                seen = await probe(peer)
            finally:
                await broker.stop()
        found[name] = {"version": broker.version, "recorded": f"{datetime.now(UTC):%Y-%m-%d}", **as_json(seen)}
    return found


def as_json(found: Findings) -> dict[str, Any]:
    """Findings as JSON knows them; "inf" for no limit."""
    seen = {name: "inf" if value == math.inf else value for name, value in found.seen.items()}
    return {"seen": seen, "at_least": found.at_least, "not_observed": found.not_observed, "notes": found.notes}


def from_json(row: dict[str, Any]) -> Findings:
    """The findings that were recorded."""
    seen = {name: math.inf if value == "inf" else value for name, value in row["seen"].items()}
    return Findings(seen, row["at_least"], row["notes"], row["not_observed"])


def page_part(recorded: dict[str, Any]) -> str:
    """The generated part of the page."""
    return "\n".join(line for name in BROKERS if name in recorded for line in _section(name, recorded[name])) + "\n"


def _section(name: str, row: dict[str, Any]) -> Iterator[str]:
    preset = BROKERS[name].preset
    behaviour = PRESETS[preset][0]
    found = from_json(row)
    apart = found.differences(behaviour)
    yield f"### `{name}`"
    yield ""
    yield f"{row['version']}, probed on {row['recorded']}, beside the preset `{preset}`."
    yield ""
    yield "| value | preset | real | |"
    yield "| --- | --- | --- | --- |"
    keys = {key.field.name: (text, key.kind) for text, key in keys_of(BrokerBehaviour).items()}
    for field, (text, kind) in keys.items():
        wanted = _cell(getattr(behaviour, field), kind)
        if field in found.seen:
            yield f"| `{text}` | {wanted} | {_cell(found.seen[field], kind)} | {'**differs**' if field in apart else 'same'} |"
        elif field in found.at_least:
            verdict = "**differs**" if field in apart else "same as far as tried"
            yield f"| `{text}` | {wanted} | at least {found.at_least[field]:g} | {verdict} |"
        elif field in found.not_observed:
            yield f"| `{text}` | {wanted} | not observed | {found.not_observed[field]} |"
    yield ""
    for note in found.notes:
        yield f"- {note}"
    yield ""


def _cell(value: Any, kind: str | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isinf(value):
        return "no limit"
    if isinstance(value, int) and value >= 2**31:
        return "no limit"
    return text_of(value, kind)


def filled(page: str, recorded: dict[str, Any]) -> str:
    """The page with its generated part made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{page_part(recorded)}{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """See the head of this file."""
    recorded = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.is_file() else {}
    if "--record" in arguments:
        names = [one for one in arguments if one in BROKERS] or [name for name, one in BROKERS.items() if one.missing() is None]
        recorded |= asyncio.run(record(names))
        ordered = {name: recorded[name] for name in BROKERS if name in recorded}
        SEEN.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    wanted = filled(page, recorded)
    if "--check" in arguments:
        if page != wanted:
            print(f"{PAGE.relative_to(ROOT)} is not current: python tools/broker_table.py")
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
