"""What kind of drive the results rest on: length, handovers, address changes beside the measured range, lossy time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from sim.record.read import Run

#: Address changes per 100 km: from the assumed anchor changes in towns (0.02/km) to the bound given by tracking-area
#: changes measured on European roads (0.13/km). Above it a scenario is a stress case.
MEASURED_REASSIGNMENTS_PER_100KM = (2.0, 13.0)


def distance_km(timeline: pl.DataFrame) -> float | None:
    """Length of one vehicle's way through the positions of its timeline; None where fewer than two are known."""
    known = timeline.select(pl.col("x_m", "y_m").fill_nan(None)).drop_nulls()
    if known.height < 2:
        return None
    return math.fsum(np.hypot(np.diff(known["x_m"].to_numpy()), np.diff(known["y_m"].to_numpy()))) / 1000.0


def lossy_s(timeline: pl.DataFrame, end_s: float) -> float:
    """Seconds up to `end_s` in which one vehicle's link lost every packet."""
    edges = np.minimum(np.append(timeline["start_s"].to_numpy(), end_s), end_s)
    return math.fsum(np.diff(edges)[(timeline["link"] == "lost").to_numpy()])


def drive_facts(run: Run) -> dict[str, Any]:
    """Means over drives (a drive is one vehicle in one replication), the same for every strategy.

    `duration_s`, `distance_km` (None: positions unknown), `handovers`, `reassignments`, `lossy_s` per drive;
    `reassignments_per_100km` over all of them, with `measured_reassignments_per_100km`; `note` is "stress case" above that
    range; `access` and `presets` as in the manifest.
    """
    who = ["replication", "vehicle"]
    ways = run.timeline.sort(*who, "start_s").partition_by(who, as_dict=True)
    drives = run.vehicles.select(*who, pl.col("end_s").alias("drive_end_s")).unique(who).sort(who)
    # of a fleet the timelines of a few vehicles are kept
    drives = drives.join(run.timeline.select(who).unique(), on=who, how="semi", maintain_order="left")
    n = max(drives.height, 1)
    lengths: list[float] = []
    lossy: list[float] = []
    for replication, vehicle, end_s in drives.iter_rows():
        way = ways[(replication, vehicle)].filter(pl.col("start_s") <= end_s)
        length = distance_km(way)
        lengths.append(math.nan if length is None else length)
        lossy.append(lossy_s(way, end_s))
    total_km = None if not lengths or any(math.isnan(length) for length in lengths) else math.fsum(lengths)
    within = run.disruptions.join(drives, on=who, how="inner").filter(pl.col("start_s") <= pl.col("drive_end_s"))
    reassignments = int((within["kind"] == "reassignment").sum())
    rate = reassignments / total_km * 100.0 if total_km else None
    return {
        "drives": drives.height,
        "duration_s": math.fsum(drives["drive_end_s"]) / n,
        "distance_km": None if total_km is None else total_km / n,
        "handovers": int((within["kind"] == "handover").sum()) / n,
        "reassignments": reassignments / n,
        "reassignments_per_100km": rate,
        "measured_reassignments_per_100km": list(MEASURED_REASSIGNMENTS_PER_100KM),
        "lossy_s": math.fsum(lossy) / n,
        "access": run.manifest.get("access", ""),
        "note": "stress case" if rate is not None and rate > MEASURED_REASSIGNMENTS_PER_100KM[1] else "",
        "presets": run.manifest.get("presets", []),
    }
