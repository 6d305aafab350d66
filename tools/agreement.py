"""Write the generated part of docs/validation.md: how far model and reality disagree, a row for each validation of a matrix.

python tools/agreement.py                    write it, from docs/agreement.json
python tools/agreement.py --check            say whether it is current; exit code 1 when it is not
python tools/agreement.py --record [WORD...] first run the validations that docs/agreement.json does not have of this state of
                                             sim/, one after the other, as two would be late for each other. WORDs choose:
                                             a scenario, a broker, a link, 10s or 30s. Begins where it was interrupted.
python tools/agreement.py --list [WORD...]   what --record would run, and how long that takes

A validation takes the drive, at most 30 s of drain and a few seconds around them: `seed_message_flow` 1.5 min, `one_handover`
2 min, `coverage_gap` 6 min. The whole matrix is 36 of them and takes 1 h 55 min. Each is run once, whatever comes out, and
stands in the table as it came out; --again runs those anew that parted or were made on an overloaded machine. Folders of the
runs, with the whole reports, are in build/agreement/.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sim.scenario.load import load  # noqa: E402 - the path comes first
from sim.study.live import plan  # noqa: E402

SEEN = ROOT / "docs" / "agreement.json"
PAGE = ROOT / "docs" / "validation.md"
RUNS = ROOT / "build" / "agreement"
BEGIN, END = "<!-- generated: agreement -->", "<!-- end of agreement -->"

SCENARIOS = ("seed_message_flow", "one_handover", "coverage_gap")
BROKERS = ("mosquitto", "rabbitmq", "aedes")
KEEP_ALIVES_S = (30, 10)
LINKS = ("packet", "loopback")
_AROUND_S = 20.0  # brokers start, models run, reports are written


@dataclass(frozen=True, slots=True)
class Cell:
    """One validation."""

    link: str
    scenario: str
    broker: str
    keep_alive_s: int

    @property
    def name(self) -> str:
        return f"{self.link} {self.scenario} {self.broker} {self.keep_alive_s}s"

    @property
    def file(self) -> Path:
        return ROOT / "scenarios" / f"{self.scenario}.yaml"

    def sets(self) -> list[str]:
        """Every strategy with a keep alive gets this one; the scenario's own values of it are what is varied here."""
        scenario = load(self.file)
        names = [choice.name for choice in scenario.strategies if hasattr(choice.config, "keep_alive_s")]
        return [f"{name}.keep_alive={self.keep_alive_s} s" for name in names]

    def takes_s(self) -> float:
        """How long it takes, about."""
        return plan(load(self.file)).horizon_s + _AROUND_S


def cells() -> list[Cell]:
    """The matrix; the short ones first, so that something is seen soon."""
    return [
        Cell(link, scenario, broker, keep_alive_s)
        for link in LINKS
        for scenario in SCENARIOS
        for broker in BROKERS
        for keep_alive_s in KEEP_ALIVES_S
    ]


def state() -> str:
    """What the figures are of: the tree of sim/ as it is checked out; another one has to be measured anew."""
    tree = subprocess.run(["git", "rev-parse", "HEAD:sim"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "sim"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tree[:12] + ("+" if changed.strip() else "")


def wanting(recorded: dict[str, Any], words: Sequence[str], *, again: bool) -> list[Cell]:
    """Cells that are not recorded of this state, among those that the words choose."""
    now = state()
    found = []
    for cell in cells():
        row = recorded.get(cell.name)
        stale = row is None or row["state"] != now or (again and (not row.get("agrees") or row.get("overloaded")))
        if stale and all(word in cell.name for word in words):
            found.append(cell)
    return found


def run(cell: Cell) -> dict[str, Any]:
    """The validation, by the command line as anybody would run it; what the table needs of it."""
    sets = [part for one in cell.sets() for part in ("--set", one)]
    words = ["validate", str(cell.file.relative_to(ROOT)), "--broker", cell.broker, "--link", cell.link, *sets]
    done = subprocess.run(
        [sys.executable, "-m", "sim", *words, "--out", str(RUNS), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=cell.takes_s() + 300.0,
    )  # fmt: skip
    row: dict[str, Any] = {"state": state(), "commit": _commit(), "recorded": f"{datetime.now(UTC):%Y-%m-%d}"}
    if done.returncode not in (0, 1):
        said = done.stderr.strip().splitlines()
        return row | {"failed": said[-1] if said else f"exit code {done.returncode}", "agrees": False}
    found = json.loads(done.stdout)
    manifest = json.loads((Path(found["results_dir"]) / "manifest.json").read_text(encoding="utf-8"))
    return row | summary(found) | {"broker": manifest["broker"], "lateness": manifest.get("lateness", {})}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of the command's JSON: counts, differences, the first record at which the two part."""
    rows = [row for row in found["rows"] if row["comparable"]]
    off = [abs(row["difference"]) for row in rows if row["allowed_s"] is not None and row["difference"] is not None]
    parted = sorted((row for row in rows if not row["agrees"]), key=lambda row: (row["at_s"] is None, row["at_s"] or 0.0))
    first = parted[0] if parted else None
    return {
        "agrees": found["agrees"],
        "overloaded": found["overloaded"],
        "compared": len(rows),
        "parted": len(parted),
        "not_comparable": len(found["rows"]) - len(rows),
        "median_s": statistics.median(off) if off else None,
        "largest_s": max(off, default=None),
        "first": first and {name: first[name] for name in ("strategy", "where", "what", "model", "model_to", "live")},
    }


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def record(recorded: dict[str, Any], todo: Sequence[Cell]) -> None:
    """Run them; each is kept, and in the table, as soon as it is there."""
    left_s = sum(cell.takes_s() for cell in todo)
    for number, cell in enumerate(todo, 1):
        print(f"{number} of {len(todo)}, {left_s / 60:.0f} min left: {cell.name}", flush=True)
        begun_s = time.monotonic()
        recorded[cell.name] = run(cell)
        left_s -= cell.takes_s()
        ordered = {one.name: recorded[one.name] for one in cells() if one.name in recorded}
        SEEN.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), ordered), encoding="utf-8")
        print(f"  {in_words(recorded[cell.name])}, {time.monotonic() - begun_s:.0f} s", flush=True)


def in_words(row: dict[str, Any]) -> str:
    """The last column: what parts."""
    if "failed" in row:
        return f"**not run**: {row['failed']}"
    first = row["first"]
    said = "nothing" if first is None else f"**{row['parted']}**, first {_first(first)}"
    return f"{said}; the machine was overloaded" if row["overloaded"] else said


def _first(row: dict[str, Any]) -> str:
    model = _value(row["model"]) + (f" to {_value(row['model_to'])}" if row["model_to"] is not None else "")
    return f"{row['strategy']}, {row['where']}, {row['what']}: model {model}, live {_value(row['live'])}"


def _value(value: Any) -> str:
    return "never" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def page_part(recorded: dict[str, Any]) -> str:
    """The generated part of the page."""
    return "\n".join(line for link in LINKS for line in _table(link, recorded)) + "\n"


def _table(link: str, recorded: dict[str, Any]) -> Iterator[str]:
    rows = [(cell, recorded[cell.name]) for cell in cells() if cell.link == link and cell.name in recorded]
    yield f"Link `{link}`:"
    yield ""
    yield "| scenario | keep alive | broker | compared | agree | not comparable | median | largest | latest | what parts |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for cell, row in rows:
        head = f"| `{cell.scenario}` | {cell.keep_alive_s} s |"
        if "failed" in row:
            yield f"{head} {cell.broker} | | | | | | | {in_words(row)} |"
            continue
        late_ms = max((1e3 * part["max_s"] for part in row["lateness"].values()), default=0.0)
        broker = ", ".join(name for name in row["broker"] if not name.startswith("embedded"))  # which serves those without one
        yield (
            f"{head} {broker} | {row['compared']} | {row['compared'] - row['parted']} | {row['not_comparable']} |"
            f" {_ms(row['median_s'])} | {_ms(row['largest_s'])} | {late_ms:.0f} ms | {in_words(row)} |"
        )
    yield ""
    gone = [cell.name for cell in cells() if cell.link == link and cell.name not in recorded]
    if gone:
        yield f"Not recorded: {len(gone)} of {len(rows) + len(gone)}."
        yield ""
    commits = sorted({row["commit"] for _, row in rows})
    days = sorted({row["recorded"] for _, row in rows})
    if rows:
        yield f"Recorded {' to '.join(dict.fromkeys((days[0], days[-1])))} at {', '.join(commits)}."
        yield ""


def _ms(value: float | None) -> str:
    return "" if value is None else f"{1e3 * value:.0f} ms"


def filled(page: str, recorded: dict[str, Any]) -> str:
    """The page with its generated part made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{page_part(recorded)}{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """See the head of this file."""
    recorded = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.is_file() else {}
    words = [one for one in arguments if not one.startswith("--")]
    todo = wanting(recorded, words, again="--again" in arguments)
    if "--list" in arguments:
        for cell in todo:
            print(f"{cell.name}: {cell.takes_s() / 60:.1f} min")
        print(f"{len(todo)} validations, {sum(cell.takes_s() for cell in todo) / 60:.0f} min")
        return 0
    try:
        if "--record" in arguments:
            record(recorded, todo)
    except KeyboardInterrupt:
        print("interrupted: what was recorded is kept", file=sys.stderr)
        return 130
    page = PAGE.read_text(encoding="utf-8")
    wanted = filled(page, recorded)
    if "--check" in arguments:
        if page != wanted:
            print(f"{PAGE.relative_to(ROOT)} is not current: python tools/agreement.py")
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
