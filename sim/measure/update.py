"""The update as a whole: when the image was complete, how much of it arrived, what was sent more than once.

The same whatever way it went: its rows are the messages of kind `ota`, chunks or ranges (and the announcement of these).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl


def image_bytes(manifest: Mapping[str, Any]) -> int | None:
    """Size of the image that the run was about; None where its manifest says none."""
    found = (manifest.get("workload", {}).get("ota") or {}).get("image_bytes")
    return None if found is None else int(found)


def update(messages: pl.DataFrame, image: int | None) -> dict[str, Any]:
    """Numbers of the updates of these messages, one for each vehicle and drive; None where there is none.

    - `complete_s`: from the first creation to the last delivery, the mean; inf where one is not complete at the end;
    - `completed_share`: bytes delivered of the bytes of the images; `image` None: of what was created;
    - `resent_bytes`: payload bytes that were on the air before and were sent again, a sum.
    """
    chunks = messages.filter(pl.col("kind") == "ota")
    if chunks.is_empty():
        return {"complete_s": None, "completed_share": None, "resent_bytes": None}
    delivered = pl.col("size_bytes").filter(pl.col("outcome") == "delivered").sum()
    drives = chunks.group_by("replication", "vehicle", maintain_order=True).agg(
        delivered.alias("delivered"),
        pl.col("size_bytes").sum().alias("created"),
        (pl.col("outcome") == "delivered").all().alias("all"),
        (pl.col("delivered_s").max() - pl.col("created_s").min()).alias("took_s"),
    )
    whole = [max(int(created), image or 0) for created in drives["created"]]
    complete = [
        float(took_s) if every and got >= wanted else math.inf
        for took_s, every, got, wanted in zip(drives["took_s"], drives["all"], drives["delivered"], whole, strict=True)
    ]
    return {
        "complete_s": math.fsum(complete) / len(complete),
        "completed_share": int(drives["delivered"].sum()) / sum(whole),
        "resent_bytes": int(chunks["resent_bytes"].fill_null(0).sum()),
    }
