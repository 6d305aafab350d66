import json
import os
from pathlib import Path

import polars as pl
import pytest

from sim.record.read import Run, RunFolderError, read_run, table_schema

from .synthetic import synthetic_run, write_run


def test_a_run_is_read_lazily_with_the_columns_of_the_schema(tmp_path: Path) -> None:
    written = synthetic_run(1)
    folder = write_run(written, tmp_path / "run")
    run = read_run(folder)
    (folder / "states.parquet").unlink()
    assert run.manifest["run_id"] == "r1"
    assert run.messages.equals(written.messages)
    assert run.messages.schema == table_schema("messages")
    assert run.trace is None
    assert not run.has("states")
    with pytest.raises(RunFolderError, match=r"states\.parquet: the file is missing"):
        _ = run.states


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("other.txt", "", r"has no manifest\.json"),
        ("manifest.json", "{", "cannot be read as JSON"),
        ("manifest.json", "[1]", "it has no run_id"),
        ("manifest.json", "{}", "it has no run_id"),
    ],
)
def test_a_foreign_folder(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RunFolderError, match=why) as error:
        read_run(tmp_path)
    assert "\n" not in str(error.value)


def test_a_writers_nan_is_never() -> None:
    row = {column: ["" if str(kind) == "String" else 0] for column, kind in table_schema("messages").items()}
    frame = pl.DataFrame({**row, "uplink": [False], "late": [False], "delivered_s": [float("nan")]})
    assert Run({"run_id": "x"}, {"messages": frame}).messages["delivered_s"].to_list() == [None]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="there is no such folder"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[5]", "not the manifest of a run, it has no run_id"),
        ('{"run_id": "x", "strategies": 5}', "strategies: expected a list of mappings with a name"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_a_foreign_manifest(tmp_path: Path, content: str, line: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunFolderError, match=line) as error:
        read_run(tmp_path)
    assert "\n" not in str(error.value)


def test_a_manifest_of_another_version_and_one_without_end(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"run_id": "x"}')
    with pytest.raises(RunFolderError, match=r"manifest.json: has no strategies, the run was recorded by another version"):
        read_run(tmp_path).manifest["strategies"]
    os.truncate(path, 2**30)
    with pytest.raises(RunFolderError, match="larger than 256 MiB"):
        read_run(tmp_path)


def test_foreign_tables(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"run_id": "x"}))
    (tmp_path / "messages.parquet").write_text("not parquet")
    pl.DataFrame({"strategy": ["s"]}).write_parquet(tmp_path / "traffic.parquet")
    wrong = pl.DataFrame({column: ["text"] for column in table_schema("vehicles")})
    wrong.write_parquet(tmp_path / "vehicles.parquet")
    for name, why in (("messages", "as Parquet"), ("traffic", "column replication is missing"), ("vehicles", "another type")):
        with pytest.raises(RunFolderError, match=why) as error:
            read_run(tmp_path).table(name)
        assert "\n" not in str(error.value)
    with pytest.raises(RunFolderError, match="no table messages"):
        Run({"run_id": "x"}).table("messages")
