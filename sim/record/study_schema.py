"""Columns of the tables of a sweep: name, type, meaning. After `point` each has a column for each key that is varied.

A key's column is named as the key is, and holds numbers in the SI unit that manifest.json names, or texts as written.
inf is "beyond the end of the run", null "no data" or "no interval", which `note` explains.
"""

from __future__ import annotations

from sim.record.schema import Column

_POINT = Column("point", "i4", "number of the point, from 0, in the order of manifest.json")
_STRATEGY = Column("strategy", "s", "name of the strategy variant")
_NUMBERS = (
    Column("low", "f8", "lower end of the 95 % interval"),
    Column("high", "f8", "upper end of the 95 % interval"),
)
_N = (Column("n", "i4", "drives that have a value"), Column("note", "s", "why there is no number or no interval"))
_METRIC = Column("metric", "s", "name of the metric, as `python -m sim list metrics` shows it")
_UNIT = Column("unit", "s", "count | share | s | bytes | MB; counts and bytes are per drive")

SWEEP = (
    _POINT,
    _STRATEGY,
    _METRIC,
    Column("statistic", "s", "mean: of the drives; pooled: a quantile over all messages, or recoveries, of all drives"),
    _UNIT,
    Column("value", "f8", "the mean or the quantile, in the unit"),
    *_NUMBERS,
    *_N,
)

DIFFERENCES = (
    _POINT,
    _STRATEGY,
    _METRIC,
    _UNIT,
    Column("difference", "f8", "this point minus point 0, on the same draws, drive by drive"),
    *_NUMBERS,
    Column("p", "f8", "two-sided p-value of no difference, this comparison alone"),
    Column("p_holm", "f8", "the same after Holm's correction for all rows of the table"),
    Column("verdict", "s", "better | worse | no evidence, by p_holm"),
    *_N,
)

#: A column for each metric follows.
DRIVES = (
    _POINT,
    _STRATEGY,
    Column("replication", "i4", "number of the drive, from 0"),
    Column("unit_id", "s", "id of the unit in results/.units; equal ids are the same work"),
)

STUDY_TABLES: dict[str, tuple[Column, ...]] = {"sweep": SWEEP, "differences": DIFFERENCES, "drives": DRIVES}
