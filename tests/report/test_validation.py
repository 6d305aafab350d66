"""The report of a validation: what it says of runs that agree and of runs that part, and that files alone make it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from sim.cli import main
from sim.measure.agreement import first_parting
from sim.measure.validation import VERDICT, read_validation
from sim.record.read import RunFolderError
from sim.report.canvas import png_bytes, svg_bytes
from sim.report.figures_agreement import differences, kind_of, latency_pairs, pairs
from sim.report.figures_overlay import overlay
from sim.report.overlay import whole_drive, zooms
from sim.report.validation_evidence import ValidationEvidence
from sim.report.validation_page import write_reports, write_validation
from sim.report.validation_tables import tables
from sim.study.live import LivePlan

from .conftest import SCENARIOS
from .figure_texts import assert_texts_stay_inside_and_apart, texts
from .test_page import outline
from .validations import Tables, later, planned, validation_of

MQTT = (pl.col("purpose") == "mqtt") & (pl.col("strategy") == "mqtt_persistent") & (pl.col("asked_s") > 0.0)


def a_little_later(found: Tables) -> Tables:
    return later(found, 0.02)


def parted(found: Tables) -> Tables:
    """The second connection of mqtt_persistent is ready a second late, and one chunk of hybrid is lost."""
    found = later(a_little_later(found), 1.0, MQTT, connections=("ready_s",))
    gone = (pl.col("strategy") == "hybrid") & (pl.col("message") == 4)
    lost = {
        "outcome": pl.lit("lost"),
        "cause": pl.lit("queue_full"),
        "delivered_s": None,
        "handed_s": None,
        "arrivals": pl.lit(0),
    }
    columns = [pl.when(gone).then(value).otherwise(pl.col(name)).alias(name) for name, value in lost.items()]
    return {**found, "messages": found["messages"].with_columns(columns)}


@pytest.fixture(scope="module")
def plan_(tmp_path_factory: pytest.TempPathFactory) -> LivePlan:
    return planned(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def agreeing(plan_: LivePlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return validation_of(plan_, tmp_path_factory.mktemp("agreeing"), a_little_later)[0]


@pytest.fixture(scope="module")
def parting(plan_: LivePlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return validation_of(plan_, tmp_path_factory.mktemp("parting"), parted)[0]


@pytest.fixture(scope="module")
def three(plan_: LivePlan, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three live runs of which the second parts."""
    return validation_of(plan_, tmp_path_factory.mktemp("three"), a_little_later, parted, a_little_later)


@pytest.fixture(scope="module")
def log(plan_: LivePlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sim.study.validation import validate_against

    folder = tmp_path_factory.mktemp("log")
    path = folder / "a drive.csv"
    path.write_text("time_s,event,message\n1,connected,\n38,disconnected,\n41,connected,\n4.1,delivered,ota:1\n36,delivered,\n")
    return validate_against(plan_, path, out=folder / "results", command="python -m sim validate x --against y").run_dir


def page_of(folder: Path) -> str:
    page = write_validation([folder]).read_text(encoding="utf-8")
    outline(page)
    return page


def evidence_of(folder: Path) -> ValidationEvidence:
    return ValidationEvidence(read_validation(folder))


def headline(page: str) -> str:
    return re.sub(r"<[^>]+>", "", page.split('<p class="headline">')[1].split("</p>")[0])


def test_what_agrees_is_said_with_numbers(agreeing: Path) -> None:
    page = page_of(agreeing)
    n = len(read_validation(agreeing).rows)
    assert (
        headline(page)
        == f"All {n} compared values agree: model against mosquitto 2.0.11. No timing is off by more than 20\xa0ms."
    )
    assert ">parts<" not in page
    assert "Where the two part first" not in page
    for fact in (
        "preset mosquitto (mosquitto 2.0.11, measured",
        "TLS profile hybrid on both sides",
        "the packet link",
        "0.25\xa0s",
    ):
        assert fact in page
    assert "python -m sim validate x" in page


def test_what_parts_is_named_with_both_values_where_it_first_does(parting: Path) -> None:
    page = page_of(parting)
    found = read_validation(parting)
    bad = [row for row in found.rows if not row.agrees]
    first = first_parting(found.rows)
    assert first is not None
    assert headline(page).startswith(f"{len(found.rows) - len(bad)} of {len(found.rows)} compared values agree, {len(bad)} part")
    assert f"The two part first at {first.at_s:,.3f}\xa0s: {first.strategy}, {first.where}, {first.what}" in page
    assert page.count(">parts<") >= 3
    assert "lost (queue_full)" in page
    ready = next(row for row in bad if (row.strategy, row.what) == ("mqtt_persistent", "ready"))
    line = next(row for row in page.split("<tr") if "attempt 1 ready" in row and 'class="parts"' in f"<tr{row}")
    for cell in (f"{ready.model:.3f}", f"{ready.live:.3f}", "+1.020", f"{ready.allowed_s:.3f}"):
        assert f"<td>{cell}</td>" in line


def test_the_first_parting_is_shown_step_by_step_on_both_sides(parting: Path) -> None:
    page = page_of(parting)
    part = page.split('id="parting"')[1].split("</section>")[0]
    assert part.count("<pre>") == 2
    assert "delivered after" in part
    assert "lost (queue_full)" in part


def test_the_record_of_an_attempt_that_parts_first_is_shown_side_by_side(plan_: LivePlan, tmp_path: Path) -> None:
    folder = validation_of(plan_, tmp_path, lambda found: later(found, 1.0, MQTT, connections=("ready_s",)))[0]
    page = page_of(folder)
    part = page.split('id="parting"')[1].split("</section>")[0]
    assert "mqtt_persistent, attempt 1" in part
    assert len(re.findall(r"<strong>[\d.]+</strong>", part)) == 1  # ready alone differs


def test_three_runs_stand_side_by_side_and_the_worst_counts(three: list[Path]) -> None:
    page = page_of(three[0])
    found = read_validation(three[0])
    assert not found.agrees
    assert [one.agrees for one in found.comparisons] == [True, False, True]
    assert all(f"<th>live {number}</th>" in page for number in (1, 2, 3))
    assert "3 live runs, 2 of them agree in every value" in page
    worst = next(row for row in found.rows if (row.strategy, row.where, row.what) == ("mqtt_persistent", "attempt 1", "ready"))
    assert worst.difference == pytest.approx(1.02)
    assert {side.name for side in whole_drive(evidence_of(three[0]), "hybrid").sides} == {"model", "live 1", "live 2", "live 3"}


def test_each_folder_of_a_validation_gives_the_same_page(three: list[Path]) -> None:
    last = write_validation(three)
    assert last == three[-1] / "validation.html"
    pages = [(folder / "validation.html").read_bytes() for folder in three]
    assert pages[0] == pages[1] == pages[2]
    assert write_validation([three[1]]).read_bytes() == pages[0]


def test_a_live_run_that_is_gone_is_said_and_left_out(three: list[Path], tmp_path: Path) -> None:
    parent = Path(shutil.copytree(three[0].parent, tmp_path / "copy"))
    shutil.rmtree(parent / "live-1")
    (parent / "live-0").rename(parent / "renamed")
    page = page_of(parent / "renamed")
    assert "No longer there, and left out: live-1." in page
    assert read_validation(parent / "renamed").agrees


def test_where_phases_cannot_be_set_the_model_is_an_interval(plan_: LivePlan, tmp_path: Path) -> None:
    def slower(found: Tables) -> Tables:
        return later(found, 2.0, MQTT, connections=("ready_s",))

    folder = validation_of(
        plan_, tmp_path, lambda found: later(found, 1.0, MQTT, connections=("ready_s",)), members=(lambda found: found, slower)
    )[0]
    found = read_validation(folder)
    row = next(row for row in found.rows if (row.strategy, row.where, row.what) == ("mqtt_persistent", "attempt 1", "ready"))
    assert row.model_to == pytest.approx(row.model + 2.0)
    assert found.agrees
    page = page_of(folder)
    assert f"{row.model:.3f} to {row.model_to:.3f}" in page
    assert "The model was run 2 times, with 2 phases of the broker" in page
    assert "1 value is an interval" in page
    band = next(one for one in whole_drive(ValidationEvidence(found), "mqtt_persistent").instants if one.model_to_s is not None)
    assert band.band == pytest.approx((row.model - row.allowed_s, row.model_to + row.allowed_s))


def test_a_drive_without_anything_to_compare_is_said(tmp_path: Path) -> None:
    quiet = {"steps": [{"at": "0 s", "link": "up", "cell": "A", "gateway": "city-a"}], "duration": "30 s"}
    plan_ = planned(tmp_path, script=quiet, workload={"probes": None}, strategies=["mqtt_persistent"])

    def nothing(found: Tables) -> Tables:
        return {**found, "connections": found["connections"].clear()}

    folder = validation_of(plan_, tmp_path / "empty", nothing, members=(nothing,))[0]
    page = page_of(folder)
    assert headline(page) == "Nothing was compared: neither the model nor the live run has a message or an attempt."
    assert not read_validation(folder).agrees


def test_a_run_without_disruptions_has_the_whole_drive_alone(tmp_path: Path) -> None:
    quiet = {"steps": [{"at": "0 s", "link": "up", "cell": "A", "gateway": "city-a"}], "duration": "30 s"}
    folder = validation_of(planned(tmp_path, script=quiet, strategies=["mqtt_persistent"]), tmp_path / "quiet", a_little_later)[0]
    page = page_of(folder)
    assert {path.stem for path in (folder / "figures").glob("*.svg")} == {
        "validation_drive_0",
        "validation_latency",
        "validation_differences",
    }
    assert "0 disruptions" in page


def test_the_page_needs_nothing_else(parting: Path, log: Path) -> None:
    for folder in (parting, log):
        page = page_of(folder)
        found = outline(page)
        assert all(link.startswith("#") for link in found.loads)
        assert not found.tags & {"script", "link", "img"}
        assert not re.search(r"https?://|@import|url\((?!#)", page)
        assert len(found.ids) == len(set(found.ids))
        beside = set() if folder == log else {"report.html"}
        assert {link.removeprefix("#") for link in found.links} - set(found.ids) == beside


def test_the_same_files_give_the_same_bytes_and_no_record_changes(parting: Path, log: Path) -> None:
    for folder in (parting, log):

        def content(folder: Path = folder) -> dict[str, bytes]:
            write_reports(folder)
            return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

        first = content()
        (folder / "figures" / "validation_zoom_9_9.svg").write_text("left by an earlier report", encoding="utf-8")
        assert content() == first


def test_the_two_reports_of_a_live_run_leave_each_other_alone(parting: Path) -> None:
    assert [path.name for path in write_reports(parting)] == ["report.html", "validation.html"]
    assert '<a href="validation.html">' in (parting / "report.html").read_text(encoding="utf-8")
    names = {path.stem for path in (parting / "figures").glob("*.svg")}
    assert {"drive_lanes", "validation_drive_0", "validation_latency"} <= names
    markdown = (parting / "validation.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\((figures/[^)]+\.png)\)", markdown)
    assert len(shown) == sum(name.startswith("validation_") for name in names)
    assert all((parting / name).is_file() for name in shown)


def test_every_figure_has_a_sentence(parting: Path) -> None:
    page = page_of(parting)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.S)
    assert len(captions) == page.count("<figure")
    assert all(len(caption) > 40 and caption.rstrip().endswith(".") for caption in captions)


def test_a_field_log_is_held_against_the_model(log: Path) -> None:
    assert re.fullmatch(r"field-\d{8}T\d{6}-a drive", log.name)
    assert {"manifest.json", "events.csv", "model", "validation.csv", "validation.json"} <= {path.name for path in log.iterdir()}
    page = page_of(log)
    assert "against the log a drive.csv" in headline(page)
    assert "<th>log</th>" in page
    view = whole_drive(evidence_of(log), "mqtt_persistent")
    assert [side.name for side in view.sides] == ["model", "log"]
    assert [(part.start_s, part.end_s) for part in view.sides[1].lane.segments if part.label == "offline"] == [
        (0.0, 1.0),
        (38.0, 41.0),
    ]
    assert [path.name for path in write_reports(log)] == ["validation.html"]


def test_text_of_the_scenario_is_escaped(tmp_path: Path) -> None:
    name = "<b>&\"$x_1$'|`"
    plan_ = planned(tmp_path, description="<script>x</script>", strategies=[{"use": "mqtt_persistent", "name": name}])
    folder = validation_of(plan_, tmp_path / "run", parted, broker="<i>broker</i> 1")[0]
    found = outline(page_of(folder))
    assert not found.tags & {"script", "b", "i"}
    markdown = (folder / "validation.md").read_text(encoding="utf-8")
    assert not re.search(r"<(script|b|i)>", markdown)


def test_what_rests_on_a_timer_of_tcp_is_marked_on_the_loopback_link(plan_: LivePlan, tmp_path: Path) -> None:
    def by_tcp(found: Tables) -> Tables:
        first = (pl.col("purpose") == "mqtt") & (pl.col("strategy") == "mqtt_persistent") & (pl.col("asked_s") < 0.0)
        reason = pl.when(first).then(pl.lit("timed_out")).otherwise(pl.col("reason")).alias("reason")
        return {**found, "connections": found["connections"].with_columns(reason)}

    for link, marked in (("loopback", True), ("packet", False)):
        folder = validation_of(plan_, tmp_path / link, a_little_later, members=(by_tcp,), link=link)[0]
        found = evidence_of(folder)
        assert any(not row.comparable for row in found.of("mqtt_persistent")) is marked
        assert all(row.comparable for row in found.of("hybrid"))
        assert found.found.compared == sum(row.comparable for row in found.rows) > 0
        page = page_of(folder)
        assert ("†" in page) is marked
        assert ("TCP's own timers" in page.replace("&#39;", "'")) is marked


def test_exchanges_that_part_in_every_value_are_shown(tmp_path: Path) -> None:
    def refused(found: Tables) -> Tables:
        pushes = pl.col("purpose") == "push"
        changed = {"outcome": pl.lit("failed"), "reason": pl.lit("refused"), "ready_s": pl.lit(None, pl.Float64)}
        changes = [pl.when(pushes).then(value).otherwise(pl.col(name)).alias(name) for name, value in changed.items()]
        moved = later(found, 0.9, pushes, connections=("asked_s",))
        return {**moved, "connections": moved["connections"].with_columns(changes)}

    plan_ = planned(tmp_path, strategies=["ddns_heartbeat"])
    folder = validation_of(plan_, tmp_path / "run", refused)[0]
    page = page_of(folder)
    assert "push 0 outcome" in page
    assert "failed (refused)" in page
    assert re.search(r"0 of \d+ agree in begin, end and outcome", page)


def test_the_counts_of_the_sets_are_those_of_the_records(parting: Path) -> None:
    found = read_validation(parting)
    hybrid = next(one for one in tables(ValidationEvidence(found)) if one.strategy == "hybrid")
    lines = {line.what: line for line in hybrid.sets}
    mine = [run.messages.filter(pl.col("strategy") == "hybrid") for run in (found.model, found.comparisons[0].run)]
    delivered = [frame.filter(pl.col("outcome") == "delivered").height for frame in mine]
    assert (lines["delivered"].model, lines["delivered"].live) == (str(delivered[0]), (str(delivered[1]),))
    assert delivered[0] == delivered[1] + 1
    assert (lines["lost (queue full)"].model, lines["lost (queue full)"].live) == ("0", ("1",))
    assert not lines["delivered"].agrees
    assert lines["arrived more than once"].agrees
    persistent = next(one for one in tables(ValidationEvidence(found)) if one.strategy == "mqtt_persistent")
    assert all(line.agrees for line in persistent.sets)


def test_texts_of_the_figures_can_be_read(parting: Path, three: list[Path], log: Path) -> None:
    for folder in (parting, three[0], log):
        evidence = evidence_of(folder)
        rows = [row for one in evidence.found.comparisons for row in one.rows]
        timings = [row for row in rows if row.allowed_s is not None and row.difference is not None]
        drawn = [
            latency_pairs(pairs(rows), evidence.styles, evidence.found.tolerance),
            differences(timings, evidence.styles, evidence.found.tolerance),
        ]
        for strategy in evidence.strategies:
            drawn += [overlay(view) for view in (whole_drive(evidence, strategy), *zooms(evidence, strategy)[0])]
        for figure in drawn:
            assert_texts_stay_inside_and_apart(figure)


def test_a_figure_draws_what_parts_in_words_and_the_same_bytes_twice(parting: Path) -> None:
    evidence = evidence_of(parting)
    (view,), total = zooms(evidence, "mqtt_persistent")
    assert total == 1
    assert (view.start_s, view.zero_s) == (25.0, 30.0)
    assert view.end_s > max(one.model_s for one in view.instants if one.words == "caught up" and one.model_s is not None)
    assert "ready +1.02\xa0s" in texts(overlay(view))
    assert svg_bytes(overlay(view)) == svg_bytes(overlay(view))
    assert png_bytes(overlay(view)) == png_bytes(overlay(view))


def test_each_timing_has_a_strip(parting: Path) -> None:
    kinds = {kind_of(row) for row in evidence_of(parting).timings}
    assert kinds == {"asked", "ready", "detection", "first redelivery", "caught up", "delivered"}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("model/messages.parquet", None, "messages.parquet"),
        ("model/manifest.json", None, "manifest.json"),
        (VERDICT, "{", VERDICT),
        (VERDICT, "[]", VERDICT),
        ("manifest.json", '{"run_id": "live-0"}', "no settings"),
    ],
)
def test_a_damaged_folder_is_said_in_one_line(agreeing: Path, tmp_path: Path, file: str, text: str | None, said: str) -> None:
    folder = Path(shutil.copytree(agreeing, tmp_path / "live-0"))
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(RunFolderError) as caught:
        write_validation([folder])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_names_of_the_live_runs_lead_nowhere_else(agreeing: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(agreeing, tmp_path / "live-0"))
    (folder / VERDICT).write_text(json.dumps({"runs": ["../live-0", "/etc", 3, "", ".", ".."]}), encoding="utf-8")
    assert [one.run_dir for one in read_validation(folder).comparisons] == [folder]


def test_the_command_writes_a_folder_for_a_field_log_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seen.csv").write_text("time_s,event,message\n0.4,connected,\n22.5,delivered,ota:3\n", encoding="utf-8")
    words = ["validate", str(SCENARIOS / "seed_message_flow.yaml"), "--strategy", "mqtt_persistent", "--against", "seen.csv"]
    assert main([*words, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    page = Path(said["report"])
    assert page.name == "validation.html"
    assert page.parent == Path(said["results_dir"])
    assert page.parent.parent == Path("results/seed_message_flow")
    before = page.read_bytes()
    page.unlink()
    assert main(["report", said["results_dir"]]) == 0
    assert capsys.readouterr().out == f"report: {page}\n"
    assert page.read_bytes() == before


def test_a_log_with_a_mistake_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("time_s,event\n1,gone\n", encoding="utf-8")
    assert main(["validate", str(SCENARIOS / "seed_message_flow.yaml"), "--against", "bad.csv"]) == 2
    assert capsys.readouterr().err.startswith("bad.csv:2: event: 'gone'")
    assert not Path("results").exists()
