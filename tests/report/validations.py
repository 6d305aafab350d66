"""Validations without a socket: the model's own records, changed, stand for those of a live run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from sim.measure.summary import metrics
from sim.measure.validation import MODEL, VERDICT
from sim.record.read import read_run
from sim.record.tables import concatenate, write
from sim.scenario.load import load
from sim.study.live import LivePlan, plan
from sim.study.manifest import manifest
from sim.study.model_record import Ensemble, model_tables, write_model
from sim.study.run import write_json

from .conftest import SCENARIOS

Tables = dict[str, pl.DataFrame]
Change = Callable[[Tables], Tables]

#: All columns of instants, by table.
INSTANTS = {
    "messages": ("first_sent_s", "handed_s", "delivered_s", "gone_s"),
    "connections": ("asked_s", "started_s", "tcp_s", "opened_s", "connack_s", "ready_s", "noticed_s"),
    "trace": ("time_s",),
    "states": ("time_s",),
}


def planned(folder: Path, scenario: str = "one_handover", **changes: Any) -> LivePlan:
    """A shipped scenario with keys replaced (None: removed), cut to its first drive."""
    content = yaml.safe_load((SCENARIOS / f"{scenario}.yaml").read_text(encoding="utf-8"))
    content |= {"replications": 1, **changes}
    path = folder / f"{scenario}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}), encoding="utf-8")
    return plan(load(path))


def later(tables: Tables, by_s: float, where: pl.Expr | None = None, **only: Sequence[str]) -> Tables:
    """Instants moved by so many seconds: all of them, or the columns of each table in `only`, in the rows `where`."""
    found = dict(tables)
    for name, columns in (only or INSTANTS).items():
        moved = [
            pl.when(pl.lit(True) if where is None else where).then(pl.col(c) + by_s).otherwise(pl.col(c)).alias(c)
            for c in columns
        ]
        found[name] = tables[name].with_columns(moved)
    return found


def validation_of(
    plan_: LivePlan,
    parent: Path,
    *changes: Change,
    members: Sequence[Change] = (lambda tables: tables,),
    broker: str = "mosquitto 2.0.11",
    **more: Any,
) -> list[Path]:
    """The folders of one validation, a live run for each of `changes`, a member of the model's ensemble for each of `members`.

    `more` goes into the manifests of the live runs.
    """
    truth = model_tables(plan_)
    parts = [
        {name: table.with_columns(pl.lit(number, pl.Int32).alias("replication")) for name, table in change(truth).items()}
        for number, change in enumerate(members)
    ]
    phases = tuple(number / len(parts) for number in range(len(parts))) if len(parts) > 1 else (None,)
    folders = []
    for number, change in enumerate(changes):
        folder = parent / f"live-{number}"
        folder.mkdir(parents=True)
        write(change(truth), folder)
        content = manifest(
            plan_.scenario, measured=[], notes=[], command="python -m sim validate x", keep_inputs=True, folder=folder
        )
        content |= {"run_id": folder.name, "world": "live", "link": "packet", "broker": [broker], "interrupted": False}
        write_json(folder / "manifest.json", content | {"drain_s": plan_.setting.drain_s, **more})
        write_json(folder / "metrics.json", metrics(read_run(folder)))
        write_model(Ensemble(plan_, phases, concatenate(parts)), folder / MODEL, "python -m sim validate x")
        folders.append(folder)
    for folder in folders:
        write_json(folder / VERDICT, {"runs": [one.name for one in folders]})
    return folders
