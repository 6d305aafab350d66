"""Runs side by side: what pairs, what the gate says, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sim.cli import main
from sim.scenario.load import load
from sim.study.bounds import BoundError
from sim.study.comparison import compare_runs
from sim.study.gate import Gate, judge, parse_gate
from sim.study.pairing import NotPaired, pair, read_side
from sim.study.run import run_scenario

ROOT = Path(__file__).parents[2]
SCENARIO = (Path(__file__).parent / "conftest.py").read_text().split('"""\\\n')[1].split('"""')[0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs of one scenario, changed in one thing each; made once, changed by nobody."""
    folder = tmp_path_factory.mktemp("compare")
    path = folder / "short.yaml"
    path.write_text(SCENARIO)
    own = folder / "own.yaml"
    own.write_text(SCENARIO.replace("[mqtt_persistent, hybrid]", "[{use: 'own.py:EagerMQTT', name: own, silent: 8 s}]"))
    source = (ROOT / "docs" / "examples" / "eager_mqtt.py").read_text()
    (folder / "own.py").write_text(source)
    (folder / "deaf.py").write_text(source.replace('setting("link_event",', 'setting("off",'))
    deaf = folder / "deaf.yaml"
    deaf.write_text(own.read_text().replace("own.py", "deaf.py"))

    def made(name, file=path, **options):
        options.setdefault("replications", 12)
        return run_scenario(load(file, **options), out=folder / name, report=False).run_dir

    return {
        "base": made("base"),
        "same": made("same", sets=["description=other words"]),
        "slow": made("slow", sets=["mqtt_persistent.address_watch=off"]),
        "rabbitmq": made("rabbitmq", sets=["server.broker=rabbitmq"]),
        "few": made("few", replications=3),
        "few slow": made("few slow", replications=3, sets=["mqtt_persistent.address_watch=off"]),
        "seed": made("seed", seed=2),
        "road": made("road", sets=["link.rtt.median=60 ms"]),
        "own": made("own", own),
        "own deaf": made("own deaf", deaf),
    }


def sides(runs, base, head):
    return pair(read_side("BASE", runs[base]), read_side("HEAD", runs[head]))


def verdicts(result):
    return {(check.strategy, check.metric): check.verdict for check in result.checks}


def test_a_run_against_itself_passes_every_gate(runs):
    result = judge(sides(runs, "base", "same"), [Gate("all.latency_s.mean_capped"), Gate("all.lost"), Gate("bytes.total", 0.01)])
    assert result.verdict == "pass"
    assert len(result.checks) == 6
    assert all(check.difference == 0.0 for check in result.checks)


def test_what_is_worse_fails_and_the_untouched_strategy_does_not(runs):
    result = judge(sides(runs, "base", "slow"), [Gate("all.latency_s.mean_capped", 0.05)])
    found = verdicts(result)
    assert found == {
        ("mqtt_persistent", "all.latency_s.mean_capped"): "worse",
        ("hybrid", "all.latency_s.mean_capped"): "pass",
    }
    assert result.verdict == "worse"
    check = result.checks[0]
    assert check.low > check.tolerance == pytest.approx(0.05 * check.base)
    assert check.head - check.base == pytest.approx(check.difference)


def test_what_is_better_passes(runs):
    assert judge(sides(runs, "slow", "base"), [Gate("all.latency_s.mean_capped")]).verdict == "pass"


def test_a_share_that_falls_is_worse(runs):
    result = judge(sides(runs, "base", "slow"), [Gate("reachability")])
    assert verdicts(result)["mqtt_persistent", "reachability"] == "worse"


def test_within_the_tolerance_nothing_fails_and_near_it_nothing_is_decided(runs):
    paired = sides(runs, "base", "slow")
    worse = judge(paired, [Gate("all.latency_s.mean_capped")]).checks[0]
    wide = Gate("all.latency_s.mean_capped", absolute=worse.high * 1.5)
    near = Gate("all.latency_s.mean_capped", absolute=worse.difference)
    assert judge(paired, [wide]).verdict == "pass"
    assert judge(paired, [near]).verdict == "undecided"


def test_few_drives_decide_nothing_and_it_is_said(runs):
    result = judge(sides(runs, "few", "few slow"), [Gate("all.latency_s.mean_capped")])
    assert verdicts(result)["mqtt_persistent", "all.latency_s.mean_capped"] == "undecided"
    assert "3 drives cannot carry a verdict" in result.warnings[0]
    assert judge(sides(runs, "few", "few"), [Gate("all.latency_s.mean_capped")]).verdict == "pass"


def test_more_checks_have_wider_intervals_and_those_without_change_do_not_count(runs):
    paired = sides(runs, "base", "slow")
    one = judge(paired, [Gate("all.latency_s.mean_capped")])
    many = judge(paired, [Gate("all.latency_s.mean_capped"), Gate("bytes.total"), Gate("all.lost"), Gate("recovery_s.mean")])
    assert (len(one.checks), len(many.checks)) == (2, 8)
    assert one.confidence == pytest.approx(0.95)  # hybrid has not changed
    changed = sum(check.difference != 0.0 for check in many.checks)
    assert changed == 3
    assert many.confidence == pytest.approx(1 - 0.05 / changed)
    assert many.checks[0].low < one.checks[0].low < one.checks[0].high < many.checks[0].high


def test_two_broker_configurations_pair(runs):
    paired = sides(runs, "base", "rabbitmq")
    assert paired.drives == 12
    assert [one[0] for one in paired.pairs] == ["mqtt_persistent", "hybrid"]


def test_two_versions_of_the_lab_pair_where_the_drives_are_the_same(runs, tmp_path):
    """Another version has another run id, and nothing else that matters here."""
    import shutil

    newer = tmp_path / "newer"
    shutil.copytree(runs["slow"], newer)
    for name in ("manifest.json", "metrics.json"):
        content = json.loads((newer / name).read_text())
        content["run_id"] = "0123456789"
        (newer / name).write_text(json.dumps(content))
    paired = pair(read_side("BASE", runs["base"]), read_side("HEAD", newer))
    assert judge(paired, [Gate("all.latency_s.mean_capped", 0.05)]).verdict == "worse"


def test_two_strategy_files_pair_by_name_or_as_told(runs):
    paired = sides(runs, "own", "own deaf")
    assert [one[0] for one in paired.pairs] == ["own"]
    assert judge(paired, [Gate("recovery_s.mean")]).verdict == "worse"
    with pytest.raises(NotPaired, match="no strategy has the same name"):
        sides(runs, "base", "own")
    told = pair(read_side("BASE", runs["base"]), read_side("HEAD", runs["own"]), {"mqtt_persistent": "own"})
    assert told.pairs == (("mqtt_persistent → own", "mqtt_persistent", "own"),)
    assert "only in BASE: hybrid" in told.left_out


def test_a_side_may_be_several_runs(runs, tmp_path):
    """Runs of one drive each, as live runs are, count one after another."""
    import shutil

    for side in ("base", "head"):
        for number in range(7):
            shutil.copytree(runs["few" if side == "base" else "few slow"], tmp_path / side / f"run-{number}")
    paired = pair(read_side("BASE", tmp_path / "base"), read_side("HEAD", tmp_path / "head"))
    assert paired.drives == 21
    assert judge(paired, [Gate("all.latency_s.mean_capped")]).verdict == "worse"


@pytest.mark.parametrize(
    ("base", "head", "says"),
    [("base", "seed", "seed is 1 in"), ("base", "road", "not on the same drives, rtt_s differs at 0.000 s in drive 0")],
)
def test_what_cannot_be_paired_is_refused_in_one_line(runs, base, head, says):
    with pytest.raises(NotPaired) as found:
        sides(runs, base, head)
    assert says in str(found.value)
    assert "\n" not in str(found.value)


def test_model_and_reality_are_not_paired(runs, tmp_path):
    import shutil

    shutil.copytree(runs["base"], tmp_path / "live")
    content = json.loads((tmp_path / "live" / "manifest.json").read_text())
    (tmp_path / "live" / "manifest.json").write_text(json.dumps(content | {"world": "live"}))
    with pytest.raises(NotPaired, match=r"world is model in .* and live in .*validate"):
        pair(read_side("BASE", runs["base"]), read_side("HEAD", tmp_path / "live"))


def test_more_drives_on_one_side_are_left_out_and_it_is_said(runs):
    paired = sides(runs, "base", "few")
    assert paired.drives == 3
    assert paired.left_out == ("BASE has 12 drives and HEAD 3: the first 3 are compared",)


def test_a_gate_that_could_never_fail_is_refused(runs):
    with pytest.raises(NotPaired, match="no data on it"):
        judge(sides(runs, "base", "slow"), [Gate("diagnostics.lost")])


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("all.lost", Gate("all.lost")),
        ("all.latency_s.p95:5%", Gate("all.latency_s.p95", 0.05)),
        ("recovery_s.mean:250 ms", Gate("recovery_s.mean", None, 0.25)),
        ("bytes.total:1 MB", Gate("bytes.total", None, 1e6)),
        ("mb_per_vehicle_month: 3 MB", Gate("mb_per_vehicle_month", None, 3.0)),
        ("all.lost:0.5", Gate("all.lost", None, 0.5)),
        ("reachability:0.01", Gate("reachability", None, 0.01)),
    ],
)
def test_gates_are_read(text, gate):
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "says"),
    [("all.lots:5%", "did you mean all.lost"), ("nothing", "list metrics"), ("all.lost:", "after the colon"),
     ("all.lost:x%", "is not understood"), ("all.lost:-5%", "out of range"), ("recovery_s.mean:5", "no unit")],
)  # fmt: skip
def test_wrong_gates(text, says):
    with pytest.raises(BoundError, match=says):
        parse_gate(text)


def test_the_command_line_and_its_exit_codes(runs, tmp_path, capsys):
    base, slow, few = str(runs["base"]), str(runs["slow"]), str(runs["few slow"])
    latency = ["--gate", "all.latency_s.mean_capped:5%"]
    out = ["--out", str(tmp_path)]
    assert main(["compare", base, slow, *latency, *out]) == 1
    assert main(["compare", slow, base, *latency, *out]) == 0
    assert main(["compare", base, few, *latency, *out]) == 0  # undecided
    assert main(["compare", base, few, *latency, *out, "--strict"]) == 1
    assert main(["compare", base, str(runs["seed"]), *latency, *out]) == 2
    capsys.readouterr()
    for wrong in (
        ["compare", base, slow, "--gate", "all.lots", *out],
        ["compare", base, slow, few, *latency, *out],
        ["compare", base, slow, "--strict", *out],
        ["compare", base, slow, *latency, "--pair", "mqtt_persistent", *out],
        ["compare", base, slow, *latency, "--pair", "nobody=hybrid", *out],
        ["compare", base, str(tmp_path / "nothing"), *out],
        ["compare", base, slow, "--metric", "all.lots", *out],
    ):
        assert main(wrong) == 2
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1, said


def test_junit_and_json_say_the_same(runs, tmp_path):
    words = [
        sys.executable,
        "-m",
        "sim",
        "compare",
        str(runs["base"]),
        str(runs["slow"]),
        "--gate",
        "all.latency_s.mean_capped:5%",
    ]
    words += ["--gate", "all.lost", "--junit", str(tmp_path / "junit.xml"), "--json", "--out", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    failed = [case.get("classname") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == [check["strategy"] for check in found["checks"] if check["verdict"] == "worse"] == ["mqtt_persistent"]
    assert found["verdict"] == "worse"


def test_runs_across_scenarios_make_a_matrix(runs, tmp_path):
    other = run_scenario(load(ROOT / "scenarios" / "same_anchor_handover.yaml", replications=3), out=tmp_path, report=False)
    found = compare_runs([runs["base"], other.run_dir, runs["own"]], out=tmp_path)
    assert list(found.comparison.runs) == [
        f"short {runs['base'].name}", f"same_anchor_handover {other.run_dir.name}", f"short {runs['own'].name}",
    ]  # fmt: skip
    assert found.gate is None
    page = (found.run_dir / "report.html").read_text()
    text = (found.run_dir / "report.md").read_text()
    for word in ("same_anchor_handover", "mqtt_persistent", "own"):
        assert word in page
        assert word.replace("_", "\\_") in text or word in text
    assert "http" not in page.replace("http://www.w3.org", "").replace("https_", "")  # nothing is fetched
    assert (found.run_dir / "figures" / "scenario-matrix.svg").is_file()
    values = found.comparison.cell(f"short {runs['own'].name}", "own", "all.delivered_within_60s")
    assert values["n"] == 12


def test_two_runs_that_do_not_pair_are_still_shown_side_by_side(runs, tmp_path):
    found = compare_runs([runs["base"], runs["seed"]], out=tmp_path)
    assert found.paired is None
    assert "seed is 1" in found.not_paired
    assert "cannot be paired" in (found.run_dir / "report.md").read_text()
