"""Reading a drive log: a CSV file with a header line, mapped by column names, with errors that name the line."""

from __future__ import annotations

import csv
import ipaddress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from sim.drive.config import Recorded, RecordedColumns
from sim.drive.errors import DriveError
from sim.drive.timeline import Floats

#: Cell texts that mean: not known in this row.
BLANK = frozenset({"", "-", "na", "nan", "n/a", "null", "none"})
_SWITCHES = ("attached", "ignition")
_FLAGS = {"1": 1.0, "true": 1.0, "yes": 1.0, "1.0": 1.0, "0": 0.0, "false": 0.0, "no": 0.0, "0.0": 0.0}
_NUMBERS = ("time", "latitude", "longitude", "rsrp", "rtt", "downlink", "uplink")
_TEXTS = ("cell", "rat", "operator", "address")
_NOT_NEGATIVE = ("rtt", "downlink", "uplink")
#: Unit suffix of a column's name -> factor to s or bit/s.
_RTT_UNITS = {"_ms": 1e-3, "_s": 1.0}
_RATE_UNITS = {"_mbps": 1e6, "_kbps": 1e3, "_bps": 1.0}
_MOST_BYTES = 512 * 2**20
_MOST_S = 1e7  # a drive of four months is a column in another unit


@dataclass(frozen=True, slots=True)
class Log:
    """Columns of the log by role, shape (rows,) each. Numbers: nan where blank; texts: "" where blank.

    Times in s from the start of what is driven, strictly rising; rtt in s, downlink and uplink in bit/s, rsrp in dBm.
    """

    time_s: Floats
    numbers: dict[str, Floats]
    texts: dict[str, list[str]]


def read_log(recorded: Recorded, folder: Path) -> tuple[Log | None, list[DriveError]]:
    """(log, errors): no log where there are errors."""
    path = folder / recorded.file
    try:
        stat = path.stat()
        if stat.st_size > _MOST_BYTES:
            text = f"{recorded.file} is larger than {_MOST_BYTES // 2**20} MiB, no log of one drive is"
            return None, [DriveError("recorded.file", text)]
        return _read(path, stat.st_mtime_ns, stat.st_size, recorded)
    except FileNotFoundError:
        return None, [DriveError("recorded.file", f"no such file: {recorded.file}")]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        return None, [DriveError("recorded.file", f"{recorded.file} cannot be read as CSV text: {why}")]


@lru_cache(maxsize=8)  # replications replay the same log; time and size of the file are part of the key
def _read(path: Path, _modified_ns: int, _size: int, recorded: Recorded) -> tuple[Log | None, list[DriveError]]:
    with path.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.reader(text, strict=True)
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    if not rows:
        return None, [DriveError("recorded.file", f"{recorded.file} has no rows below its header")]
    odd = next(((line, row) for line, row in rows if len(row) != len(header)), None)
    if odd is not None:
        problem = f"line {odd[0]} has {len(odd[1])} fields, the header has {len(header)}"
        return None, [DriveError("recorded.file", problem)]
    errors: list[DriveError] = []
    columns: dict[str, list[str]] = {}
    for role in (field.name for field in fields(RecordedColumns)):
        name = getattr(recorded.columns, role)
        if name is None:
            continue
        if name not in header:
            errors.append(DriveError(f"recorded.columns.{role}", f"the log has no column {name!r}; it has: {', '.join(header)}"))
            continue
        index = header.index(name)
        columns[role] = [row[index].strip() if index < len(row) else "" for _, row in rows]
    lines = [line for line, _ in rows]
    numbers: dict[str, Floats] = {}
    for role in (*_NUMBERS, *_SWITCHES):
        if role in columns:
            parsed = _numbers(role, getattr(recorded.columns, role), columns[role], lines)
            if isinstance(parsed, DriveError):
                errors.append(parsed)
            else:
                numbers[role] = parsed
    if "time" in numbers and not errors:
        time_s = numbers.pop("time")
        falls = np.flatnonzero(np.diff(time_s) < 0.0)
        if len(falls):
            first = int(falls[0]) + 1
            texts = columns["time"]
            problem = f"line {lines[first]}: time {texts[first]} is before {texts[first - 1]} in the row above it; it has to rise"
            return None, [DriveError("recorded.columns.time", problem)]
        if time_s[-1] - time_s[0] > _MOST_S:
            problem = f"the log would last {time_s[-1] - time_s[0]:.3g} s; the column has to hold seconds"
            return None, [DriveError("recorded.columns.time", problem)]
        wide = np.diff(time_s) > recorded.gap_s
        if len(wide) and wide.mean() > 0.5:
            problem = (
                f"most rows are more than {recorded.gap_s:g} s apart, so the log would be one gap after another; "
                "the column has to hold seconds, and `gap` to be longer than the usual distance of rows"
            )
            return None, [DriveError("recorded.columns.time", problem)]
        for line, address in zip(lines, columns.get("address", []), strict=False):
            if address.lower() not in BLANK and not _is_address(address):
                problem = f"line {line}, column {recorded.columns.address!r}: {address!r} is not an IPv4 address"
                return None, [DriveError("recorded.columns.address", problem)]
        return _cut(recorded, time_s, numbers, {role: columns[role] for role in _TEXTS if role in columns})
    return None, errors


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _numbers(role: str, name: str, texts: list[str], lines: list[int]) -> Floats | DriveError:
    values = np.empty(len(texts))
    for i, text in enumerate(texts):
        try:
            if text.lower() in BLANK:
                values[i] = np.nan
            else:
                values[i] = _FLAGS[text.lower()] if role in _SWITCHES else float(text)
        except (ValueError, KeyError):
            wanted = "1 or 0, true or false" if role in _SWITCHES else "a number"
            return DriveError(f"recorded.columns.{role}", f"line {lines[i]}, column {name!r}: {text!r} is not {wanted}")
    bad = np.isinf(values) | ((values < 0.0) & (role in _NOT_NEGATIVE))
    if role == "time":
        bad |= np.isnan(values)
    if bad.any():
        i = int(bad.argmax())
        least = " of at least 0" if role in _NOT_NEGATIVE else ""
        text = f"line {lines[i]}, column {name!r}: {texts[i]!r} is out of range, expected a finite number{least}"
        return DriveError(f"recorded.columns.{role}", text)
    return values * _factor(role, name)


def _factor(role: str, name: str) -> float:
    """Unit by the suffix of the column's name: RTT `_ms`, `_s`, else ms; rates `_mbps`, `_kbps`, `_bps`, else kbit/s."""
    lower = name.lower()
    if role == "rtt":
        return next((factor for suffix, factor in _RTT_UNITS.items() if lower.endswith(suffix)), 1e-3)
    if role in ("downlink", "uplink"):
        return next((factor for suffix, factor in _RATE_UNITS.items() if lower.endswith(suffix)), 1e3)
    return 1.0


def _cut(
    recorded: Recorded, time_s: Floats, numbers: dict[str, Floats], texts: dict[str, list[str]]
) -> tuple[Log | None, list[DriveError]]:
    """The part that is driven. Of rows with the same time the last one counts; times begin at the first row."""
    since_s = np.round(time_s - time_s[0], 9)
    until_s = np.inf if recorded.until_s is None else recorded.until_s
    kept = (since_s >= recorded.from_s) & (since_s <= until_s) & np.append(np.diff(time_s) > 0.0, True)
    if kept.sum() < 2:
        key = "recorded.file" if recorded.from_s == 0.0 and recorded.until_s is None else "recorded.from"
        return None, [DriveError(key, f"fewer than two rows of different time are left of {since_s[-1]:g} s of log")]
    rows = np.flatnonzero(kept)
    start = np.round(since_s[rows] - since_s[rows[0]], 9)
    picked = {role: [column[i] for i in rows.tolist()] for role, column in texts.items()}
    blank = {role: ["" if text.lower() in BLANK else text for text in column] for role, column in picked.items()}
    return Log(start, {role: column[rows] for role, column in numbers.items()}, blank), []
