from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sim.record.read import RunFolderError
from sim.report.page import write_report

from .conftest import MakeRun

FILES = ("metrics", "comparisons", "objectives", "ledger", "recovery", "cost", "attempts", "settings")
VOID = {"meta", "br", "img", "hr", "input", "link", "wbr"}


class Outline(HTMLParser):
    """Open elements, attributes that load something, ids, internal links, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action") or (name == "href" and tag != "a"):
                self.loads.append(value or "")
            if name in ("href", "xlink:href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        opened = self.open.pop() if self.open else ""
        assert opened == tag, f"</{tag}> closes {opened or 'nothing'}"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def report(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_writes_page_markdown_figures_and_tables(fresh: Path) -> None:
    path = write_report(fresh)
    assert path == fresh / "report.html"
    names = {figure.stem for figure in (fresh / "figures").glob("*.svg")}
    assert {"trade_off", "drive_lanes", "zoom_reassignment", "recovery_bars", "latency_distribution"} <= names
    assert names == {figure.stem for figure in (fresh / "figures").glob("*.png")}
    for name in FILES:
        rows = list(csv.reader((fresh / "tables" / f"{name}.csv").open(encoding="utf-8")))
        assert rows
        assert all(len(row) == len(rows[0]) for row in rows)
    markdown = (fresh / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\((figures/[^)]+\.png)\)", markdown)
    assert shown
    assert all((fresh / name).is_file() for name in shown)
    assert len(shown) == len(names)


def test_page_is_well_formed_and_needs_nothing_else(run_dir: Path) -> None:
    page = report(run_dir)
    found = outline(page)
    assert found.loads == [] or all(link.startswith("#") for link in found.loads)
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert "img" not in found.tags
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert len(found.ids) == len(set(found.ids))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert len(page) < 3_000_000


def test_the_same_files_give_the_same_bytes(fresh: Path) -> None:
    def content() -> dict[str, bytes]:
        write_report(fresh)
        return {str(path.relative_to(fresh)): path.read_bytes() for path in sorted(fresh.rglob("*")) if path.is_file()}

    first = content()
    (fresh / "figures" / "zoom_stale.svg").write_text("left by an earlier report", encoding="utf-8")
    assert content() == first


def test_a_file_of_the_users_among_the_figures_stays(fresh: Path) -> None:
    write_report(fresh)
    mine = fresh / "figures" / "mine.svg"
    mine.write_text("a user's", encoding="utf-8")
    write_report(fresh)
    assert mine.read_text(encoding="utf-8") == "a user's"


def test_the_report_changes_no_record(fresh: Path) -> None:
    before = {path.name: path.read_bytes() for path in fresh.iterdir() if path.suffix in (".parquet", ".json")}
    write_report(fresh)
    assert before == {path.name: path.read_bytes() for path in fresh.iterdir() if path.suffix in (".parquet", ".json")}


def test_text_of_the_scenario_is_escaped(make_run: MakeRun) -> None:
    bad = '<script>alert("x")</script> & <img src=x>'
    name = "<b>&\"$x_1$'|`"
    folder = make_run(description=bad, strategies=["hybrid", {"use": "mqtt_persistent", "name": name}])
    page = report(folder)
    found = outline(page)
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert "b" not in found.tags
    assert "&lt;script&gt;" in page
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    assert "<b>" not in markdown
    for line in markdown.splitlines():
        if line.startswith("| &lt;b&gt;"):
            assert "\\|" in line


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json"),
        (lambda folder: (folder / "metrics.json").write_text("{", encoding="utf-8"), "metrics.json"),
        (lambda folder: (folder / "metrics.json").write_text("{}", encoding="utf-8"), "it has no strategies"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
        (lambda folder: (folder / "messages.parquet").unlink(), "messages.parquet"),
        (lambda folder: (folder / "states.parquet").write_bytes(b"PAR1"), "states.parquet"),
    ],
)
def test_a_damaged_folder_is_said_in_one_line(damage: object, said: str, fresh: Path) -> None:
    damage(fresh)  # type: ignore[operator]
    with pytest.raises(RunFolderError) as caught:
        write_report(fresh)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (fresh / "report.html").exists()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="there is no such folder"):
        write_report(tmp_path / "nowhere")


def test_numbers_that_are_null_do_not_stop_the_report(fresh: Path) -> None:
    metrics = json.loads((fresh / "metrics.json").read_text(encoding="utf-8"))
    for numbers in metrics["strategies"].values():
        numbers["latency_s"] = dict.fromkeys(numbers["latency_s"])
        for kind in numbers["workloads"].values():
            kind["latency_s"] = dict.fromkeys(kind["latency_s"])
        numbers["mb_per_vehicle_month"] = None
        for name in ("mb_per_vehicle_month", "all.latency_s.p99", "all.latency_s.mean_capped", "all.delivered_within_60s"):
            numbers["intervals"][name] |= {"mean": None, "low": None, "high": None, "note": "beyond the horizon in 2 of 2 drives"}
        numbers["worst_episode"] = None
    (fresh / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    outline(report(fresh))
