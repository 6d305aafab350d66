"""Reachability: the share of the lab's own probe requests, sent at random instants, that were answered in time.

Random (Poisson) instants see time averages (Wolff 1982, PASTA), so the share is that of the time in which the server
could have reached the vehicle.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sim.measure.stats import CONFIDENCE, share_interval


def answered(messages: pl.DataFrame, within_s: float) -> tuple[int, int]:
    """(probes answered within `within_s`, probes created)."""
    probes = messages.filter(pl.col("kind") == "probe")
    in_time = (probes["delivered_s"] - probes["created_s"] <= within_s).fill_null(False)
    return int(in_time.sum()), probes.height


def share(messages: pl.DataFrame, within_s: float) -> float | None:
    """Share of the probes answered in time; None where there was none."""
    good, n = answered(messages, within_s)
    return good / n if n else None


def reachability(messages: pl.DataFrame, within_s: float, seed: int) -> dict[str, Any]:
    """Share over all drives with its interval: `share`, `n` probes, `answered`, `low`, `high`, `note`.

    The interval is bootstrapped over drives, each with all its probes. Where none failed (or none was answered) nothing varied,
    and the bound is exact: what did not happen in n independent trials has a probability of at most 1 - 0.05^(1/n) with 95 %
    confidence, 3/n for large n (Hanley & Lippman-Hand 1983).
    """
    good, n = answered(messages, within_s)
    if n == 0:
        return {"share": None, "n": 0, "answered": 0, "low": None, "high": None, "note": "no probes"}
    bound = 1.0 - (1.0 - CONFIDENCE) ** (1.0 / n)
    if good == n:
        low, high, note = 1.0 - bound, 1.0, f"no probe of {n} failed: unreachable for at most {bound:.2%} of the time"
    elif good == 0:
        low, high, note = 0.0, bound, f"no probe of {n} was answered: reachable for at most {bound:.2%} of the time"
    else:
        drives = [answered(part, within_s) for part in messages.partition_by("replication", maintain_order=True)]
        interval = share_interval([drive for drive in drives if drive[1]], seed)
        low, high, note = interval.low, interval.high, interval.note  # type: ignore[assignment]
    return {"share": good / n, "n": n, "answered": good, "low": low, "high": high, "note": note}
