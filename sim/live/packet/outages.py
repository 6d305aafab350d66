"""What becomes of the drive when somebody takes the vehicle's interface down by hand, and up again. Pure.

As with a modem that is restarted: with the interface the PDU session ends, and with it the address. Once the interface is up
the network attaches the vehicle, after the delay of a reassignment, and gives it the gateway's next address, or the same one
where addresses never change in the drive. The drive's own changes go on meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple


@dataclass(slots=True)
class Outage:
    """Instants in s of the drive, inf: not yet. `address` is given at `attached_s` in place of the drive's of then, "": that."""

    down_s: float
    up_s: float = math.inf
    attached_s: float = math.inf
    address: str = ""


class Row(NamedTuple):
    """A stretch from `start_s` on: like row `of` of the drive, but for the address ("": none) and the link that is `cut`."""

    start_s: float
    of: int
    address: str
    cut: bool


def rows_with(start_s: Sequence[float], address: Sequence[str], outages: Sequence[Outage]) -> list[Row]:
    """The drive's rows (instants and addresses) as the outages have left them. The first row also holds before its start."""
    rows = [Row(start, number, held, False) for number, (start, held) in enumerate(zip(start_s, address, strict=True))]
    for outage in outages:
        rows = _split(_split(rows, outage.down_s), outage.attached_s)
        before = _at(rows, outage.down_s)
        after = _at(rows, outage.attached_s) if outage.attached_s < math.inf else len(rows)
        first = before if rows[before].start_s >= outage.down_s else before + 1
        rows[first:after] = [row._replace(address="", cut=True) for row in rows[first:after]]
        if outage.address:
            held = address[rows[after].of] if after < len(rows) else ""
            while after < len(rows) and address[rows[after].of] == held:
                rows[after] = rows[after]._replace(address=outage.address)
                after += 1
    return rows


def attached(
    start_s: Sequence[float], address: Sequence[str], outages: Sequence[Outage], up_s: float, delay_s: float, keeps_address: bool
) -> Outage:
    """The last of the outages, which ends now that the interface is up at `up_s`, with what the network gives."""
    *earlier, last = outages
    at = up_s + delay_s
    rows = rows_with(start_s, address, earlier)
    before, after = _at(rows, last.down_s), _at(rows, at)
    same = len({address[row.of] for row in rows[before : after + 1]}) == 1
    held = rows[before].address
    if not same or not held:
        return Outage(last.down_s, up_s, at)  # the drive has gone on to another address, or to none
    taken = {*address, *(outage.address for outage in outages), held}
    return Outage(last.down_s, up_s, at, held if keeps_address else next_address(held, taken))


def next_address(address: str, taken: Collection[str]) -> str:
    """The next address of the pool, as gateways give them in drives."""
    found = IPv4Address(address) + 1
    while str(found) in taken or found.packed[-1] in (0, 255):
        found += 1
    return str(found)


def _split(rows: list[Row], at_s: float) -> list[Row]:
    """The rows with one that begins at `at_s`."""
    if at_s == math.inf:
        return rows
    number = _at(rows, at_s)
    if rows[number].start_s == at_s:
        return rows
    return [*rows[: number + 1], rows[number]._replace(start_s=at_s), *rows[number + 1 :]]


def _at(rows: Sequence[Row], at_s: float) -> int:
    """Number of the row that holds at `at_s`."""
    found = 0
    for number, row in enumerate(rows):
        if row.start_s <= at_s:
            found = number
    return found
