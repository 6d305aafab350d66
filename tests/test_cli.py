# ruff: noqa: E501 - lines of output are written as they appear
"""The command line: exit codes, what goes to stdout and what to stderr, and that nobody sees a traceback."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sim.cli import main

ROOT = Path(__file__).parents[1]
SCENARIO = "name: t\nscript: {steps: [{at: 0 s, link: up, gateway: a}], duration: 60 s}\nstrategies: [mqtt_persistent, hybrid]\n"
NUMBERS: dict[str, Any] = {
    "created": 200,
    "delivered": 199,
    "pending": 0,
    "lost": 1,
    "duplicates": 2,
    "delivered_within_60s": 0.9996,
    "latency_s": {"p50": 0.1, "p95": math.nan},
    "recovery_s": {"n": 3, "p95": 12.3456},
    "reachability": {"share": 0.5},
    "bytes": {"total": {"up": 1_000_000, "down": 3_000_000}},
    "attempts": {"total": 4},
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "t.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand-ins for what `run` calls: they note the arguments and give fixed metrics."""
    seen = SimpleNamespace(verdict="met", calls=[], error=None)

    def run_scenario(scenario: Any, **options: Any) -> SimpleNamespace:
        seen.calls.append((scenario, options))
        if seen.error is not None:
            raise seen.error
        print("noise that a user's strategy makes")
        os.write(1, b"and a worker's\n")
        options["progress"](1, 2, "drives")
        names = [choice.name for choice in scenario.strategies]
        objective = {"strategy": "hybrid", "metric": "all.lost", "bound": "at_most 0", "value": 0.5, "low": 0.25, "high": 0.75}
        metrics = {
            "scenario": scenario.name,
            "seed": scenario.seed,
            "run_id": "r1",
            "replications": scenario.replications,
            "objectives": [{**objective, "verdict": seen.verdict}],
            "strategies": dict.fromkeys(names, NUMBERS),
            "other": 1,
        }
        return SimpleNamespace(run_dir=Path("results/t/r1"), metrics=metrics)

    for name, content in (
        ("sim.study.run", {"run_scenario": run_scenario}),
        ("sim.report.page", {"write_report": lambda run_dir: run_dir / "report.html"}),
    ):
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return seen


def test_run_prints_objectives_then_the_table_then_the_report(
    file: Path, runs: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(file), "--replications", "2"]) == 0
    out = capfd.readouterr().out
    lines = [line.rstrip() for line in out[out.index("met") :].splitlines()]
    assert lines == [
        "met       hybrid: all.lost at most 0, is 0.5 [0.25, 0.75]",
        "",
        "                 deliv-  in 60  latency        dupli-  recov.  reach-   MB a    tries",
        "strategy         ered %   s, %    p95 s  lost   cates   p95 s  able %  drive  a drive",
        "mqtt_persistent    99.5   99.9    > end     1       2    12.3    50.0   2.00      2.0",
        "hybrid             99.5   99.9    > end     1       2    12.3    50.0   2.00      2.0",
        "lost and duplicates are sums over all drives",
        "> end: not by the end of the run",
        "",
        "2 drives, results in results/t/r1",
        "report: results/t/r1/report.html",
    ]


def test_on_a_narrow_terminal_the_strategies_stand_one_below_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim.terminal import print_summary

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    print_summary({"strategies": {"mqtt_persistent": NUMBERS}}, Path("results/t/r1"), None)
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.rstrip() for line in out.splitlines()[:5]] == [
        "mqtt_persistent",
        "  delivered %         99.5",
        "  in 60 s, %          99.9",
        "  latency p95 s      > end",
        "  lost                   1",
    ]


@pytest.mark.parametrize(
    ("left_s", "text"),
    [(math.nan, ""), (0.2, ", 1 s left"), (59.5, ", 1 min 0 s left"), (61.0, ", 1 min 1 s left"), (7384.0, ", 2 h 3 min left")],
)
def test_the_time_left(left_s: float, text: str) -> None:
    from sim.terminal import _time_left

    assert _time_left(left_s) == text


@pytest.mark.parametrize(("verdict", "code"), [("met", 0), ("undecided", 0), ("missed", 1)])
def test_the_exit_code_is_that_of_the_objectives(file: Path, runs: SimpleNamespace, verdict: str, code: int) -> None:
    runs.verdict = verdict
    assert main(["run", str(file)]) == code
    assert main(["run", str(file), "--json"]) == code


def test_json_is_one_object_and_nothing_else(file: Path, runs: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> None:
    main(["run", str(file), "--json", "--seed", "7"])
    captured = capfd.readouterr()
    content = json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert list(content) == ["scenario", "seed", "run_id", "results_dir", "objectives", "warnings", "strategies"]
    assert (content["scenario"], content["seed"], content["results_dir"]) == ("t", 7, "results/t/r1")
    assert content["strategies"]["hybrid"]["latency_s"] == {"p50": 0.1, "p95": None}
    assert "noise" in captured.err
    assert "a worker's" in captured.err


def test_options_reach_the_run(file: Path, runs: SimpleNamespace) -> None:
    words = ["run", str(file), "-j", "3", "--out", "elsewhere", "--no-fold", "--no-inputs", "--set", "drain=5 s"]
    words += ["--vary", "hybrid.poll=10 s,20 s", "--strategy", "hybrid", "--strategy", "static_push"]
    assert main(words) == 0
    ((scenario, options),) = runs.calls
    assert [choice.name for choice in scenario.strategies] == ["hybrid poll=10 s", "hybrid poll=20 s", "static_push"]
    assert scenario.drain_s == 5.0
    assert {key: options[key] for key in ("jobs", "out", "fold", "keep_inputs")} == {
        "jobs": 3,
        "out": Path("elsewhere"),
        "fold": False,
        "keep_inputs": False,
    }


def test_a_warning_goes_to_stderr(file: Path, runs: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "--strategy", "static_push"]) == 0
    assert "warning: --strategy static_push: network.access is cgnat" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyError("x"), 3, "defect: KeyError: 'x' (add --debug for the traceback, and report it with the scenario file and the command)"),
        (RecursionError(), 3, "defect: RecursionError (add --debug for the traceback, and report it with the scenario file and the command)"),
        (PermissionError(13, "Permission denied", "results"), 2, "results: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_a_run(
    file: Path, runs: SimpleNamespace, capfd: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    runs.error = error
    assert main(["run", str(file)]) == code
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [line]


def test_debug_shows_the_traceback(file: Path, runs: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> None:
    runs.error = KeyError("x")
    assert main(["run", str(file), "--debug"]) == 3
    err = capfd.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.splitlines()[-1].startswith("defect: KeyError: 'x'")


def test_an_error_in_a_strategy_of_the_users_own_is_theirs(
    file: Path, runs: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "import dataclasses\nclass M:\n    @dataclasses.dataclass\n    class Config: pass\n"
    source += "    def vehicle(config, context): return 1 / 0\n    server = vehicle\n"
    (file.parent / "m.py").write_text(source, encoding="utf-8")
    file.write_text(SCENARIO.replace("hybrid]", "m.py:M]"), encoding="utf-8")
    from sim.scenario.user_strategy import user_class

    try:
        user_class("m.py:M", file.parent).vehicle(None, None)
    except ZeroDivisionError as error:
        runs.error = error
    assert main(["run", str(file)]) == 2
    line = f"{file.parent}/m.py:5: ZeroDivisionError: division by zero (--debug shows the traceback)"
    assert capfd.readouterr().err.splitlines() == [line]


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "a.yaml", "b.yaml"],
        ["run", "no.yaml"],
        ["run", "."],
        ["run", "t.yaml", "-j", "0"],
        ["run", "t.yaml", "--replications", "x"],
        ["run", "t.yaml", "--replications", "0"],
        ["run", "t.yaml", "--set", "x"],
        ["run", "t.yaml", "--nosuch"],
        ["check"],
        ["check", "no.yaml"],
        ["nosuch"],
        ["list", "nosuch"],
        ["init", "a b"],
        ["init", "t"],
        ["explain", "nowhere", "ota:1"],
        ["report", "."],
        ["bench", "--vehicles", "0"],
        ["schema", "x"],
    ],
)
def test_bad_usage_is_2_and_says_why_in_a_line_or_two(file: Path, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err or words[0] == "check"


def test_check_prints_every_file(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file.parent / "bad.yaml").write_text(SCENARIO + "drian: 5 s\nseed: -1\n", encoding="utf-8")
    (file.parent / "warn.yaml").write_text(SCENARIO.replace("hybrid", "static_push"), encoding="utf-8")
    assert main(["check", "bad.yaml", "t.yaml", "warn.yaml"]) == 2
    assert capfd.readouterr().out.splitlines() == [
        "bad.yaml:4:1: drian: unknown key, did you mean drain",
        "bad.yaml:5:7: seed: -1 is out of range, expected at least 0",
        "ok: t.yaml",
        "warning: warn.yaml:3:31: strategies.1: network.access is cgnat, so that the server cannot connect to the vehicle: "
        "static_push will deliver nothing to it",
        "ok: warn.yaml",
    ]
    assert main(["check", "t.yaml", "warn.yaml"]) == 0


def test_list(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capfd.readouterr().out
    for heading in ("scenarios:", "strategies:", "presets:", "backoff:", "metrics:"):
        assert heading in out.splitlines()
    assert main(["list", "backoff"]) == 0
    assert capfd.readouterr().out.splitlines()[6] == "fixed                base, always"
    assert main(["list", "scenarios"]) == 0
    assert "one_handover.yaml" in capfd.readouterr().out


def test_schema_and_init(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capfd.readouterr().out) == json.loads((ROOT / "scenarios/schema.json").read_text(encoding="utf-8"))
    assert main(["init", "mine"]) == 0
    assert capfd.readouterr().out == "wrote mine.yaml; next: python -m sim run mine.yaml\n"
    assert main(["check", "mine.yaml"]) == 0
    assert main(["init", "mine"]) == 2
    assert capfd.readouterr().err == "mine.yaml: exists already, it is not overwritten\n"


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capfd.readouterr().out
    for command in ("run", "check", "schema", "list", "init", "explain", "report", "bench"):
        assert f"  {command} " in out
    for option in (
        "--strategy",
        "--replications",
        "--seed",
        "--set",
        "--vary",
        "-j",
        "--out",
        "--no-fold",
        "--json",
        "--no-inputs",
    ):
        main(["run", "--help"])
        assert option in capfd.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from sim.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert not loaded & {"numpy", "polars", "matplotlib", "pydantic", "yaml", "simpy", "jinja2", "rich.progress"}


def test_a_reader_that_has_gone_is_quiet() -> None:
    done = subprocess.run(
        f"{sys.executable} -m sim schema | head -1; {sys.executable} -m sim list metrics | head -1",
        shell=True, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("{\nall.created")


def test_interrupt_is_130_without_a_traceback(tmp_path: Path) -> None:
    source = "import time, sys\nprint('loaded', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    (tmp_path / "slow.py").write_text(source, encoding="utf-8")
    (tmp_path / "t.yaml").write_text(SCENARIO.replace("hybrid]", "slow.py:S]"), encoding="utf-8")
    words = [sys.executable, "-m", "sim", "check", str(tmp_path / "t.yaml")]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "loaded\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "interrupted\n"


@pytest.mark.parametrize("command", ["live", "validate"])
def test_what_only_the_model_plays_is_not_run_live(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(Path(__file__).resolve().parents[1] / "scenarios" / "production.yaml")
    assert main([command, file]) == 2
    assert capsys.readouterr().err == (
        f"{file}: faults: store_failover: played by the model alone, not live; node_crash, store_crash are\n"
    )


def test_a_validation_that_compared_nothing_is_no_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "quiet.yaml").write_text(
        "name: quiet\n"
        "script: {steps: [{at: 0 s, link: up, cell: A, gateway: a}], duration: 1 s}\n"
        "network: {gateways: {a: {address: 10.1.1.100}}, access: private_apn}\n"
        "server: {tls: none}\n"
        "workload: {probes: null}\n"
        "strategies: [static_push]\n"
        "replications: 1\ndrain: 0 s\nphases: fixed\n"
    )
    assert main(["validate", str(tmp_path / "quiet.yaml"), "--out", str(tmp_path / "results")]) == 1
    said = capsys.readouterr().out
    assert "nothing was compared: neither the model nor the live run has a message or an attempt\n" in said
