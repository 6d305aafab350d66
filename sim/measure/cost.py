"""Cost: IP bytes by purpose and direction, and time in which the radio was active. The lab's probes are reported apart.

Counts of several drives are sums; divide by the drives for a mean.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from sim.record.causes import PURPOSES, UNKNOWN_PURPOSE

PROBE = "probe"

#: Duty cycle of a vehicle-month, for drives without parking: hours of driving a day and days of driving a month. Our choice,
#: stated beside the figure.
HOURS_A_DAY = 2.0
DAYS_A_MONTH = 30.0


def bytes_by_purpose(traffic: pl.DataFrame) -> dict[str, Any]:
    """purpose -> {`up`, `down`} in bytes for every purpose, and `total` over all of them but the probes.

    Bytes that could not be told apart (live, of a program of the user's own) are a purpose of their own, where there are any.
    """
    counted = {
        (purpose, direction): int(count)
        for purpose, direction, count in traffic.group_by("purpose", "direction").agg(pl.col("bytes").sum()).iter_rows()
    }
    purposes = [*PURPOSES, *([UNKNOWN_PURPOSE] if any(purpose == UNKNOWN_PURPOSE for purpose, _ in counted) else [])]
    unknown = {purpose for purpose, _ in counted} - set(purposes)
    if unknown:
        raise ValueError(f"bytes were spent on {min(unknown)}, which is not a purpose of the cost table")
    table: dict[str, Any] = {
        purpose: {direction: counted.get((purpose, direction), 0) for direction in ("up", "down")} for purpose in purposes
    }
    table["total"] = sum(sum(table[purpose].values()) for purpose in purposes if purpose != PROBE)
    return table


def radio_active_s(vehicles: pl.DataFrame) -> float | None:
    """Seconds in RRC connected, with the inactivity tail, summed over vehicles and drives; None where nobody measured them."""
    measured = vehicles["radio_active_s"].drop_nulls()
    return math.fsum(measured) if measured.len() or not vehicles.height else None


def mb_per_vehicle_month(
    spent_bytes: int, vehicles: pl.DataFrame, hours_a_day: float = HOURS_A_DAY, days_a_month: float = DAYS_A_MONTH
) -> float | None:
    """Megabytes (10^6 bytes) of a vehicle in a month, at the rate of these drives. None where nobody drove."""
    drives = drives_a_month(vehicles, hours_a_day, days_a_month)
    return None if drives is None else spent_bytes / 1e6 * drives


def drives_a_month(vehicles: pl.DataFrame, hours_a_day: float = HOURS_A_DAY, days_a_month: float = DAYS_A_MONTH) -> float | None:
    """How many times all that these vehicles did goes into a month of one vehicle. None where nobody drove.

    A drive without parking is a part of the hours of driving; one with parking is a piece of the month as it is, nights
    included. Everything the run sent is charged to the drive, the drain too: that is when its messages end.
    """
    lasted_s = math.fsum(vehicles["end_s"].fill_null(0.0))
    if lasted_s <= 0.0:
        return None
    hours = 24.0 if has_parking(vehicles) else hours_a_day
    return hours * days_a_month / (lasted_s / 3600.0)


def has_parking(vehicles: pl.DataFrame) -> bool:
    """Whether the drives hold times with the ignition off."""
    return bool((vehicles["parked_s"].fill_null(0.0) > 0.0).any())


def cost(traffic: pl.DataFrame, vehicles: pl.DataFrame) -> dict[str, Any]:
    """`bytes`, `mb_per_vehicle_month`, `overhead_mb_per_vehicle_month` (all but first-time payload), `radio_active_s` and
    `radio_active_s_per_vehicle_month`.
    """
    drives, active_s = drives_a_month(vehicles), radio_active_s(vehicles)
    table = bytes_by_purpose(traffic)
    payload = sum(table["payload"].values())
    return {
        "bytes": table,
        "mb_per_vehicle_month": mb_per_vehicle_month(table["total"], vehicles),
        "overhead_mb_per_vehicle_month": mb_per_vehicle_month(table["total"] - payload, vehicles),
        "radio_active_s": active_s,
        "radio_active_s_per_vehicle_month": None if drives is None or active_s is None else active_s * drives,
    }
