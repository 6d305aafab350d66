# ruff: noqa: E501 - a table of lines reads best with a line a row
"""Malformed files and command lines: each is exit code 2 and one line that says what is wrong, whatever it is made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim.cli import main

SCRIPT = "script: {steps: [{at: 0 s, link: up, gateway: a}], duration: 20 s}\n"
GOOD = f"name: t\n{SCRIPT}strategies: [mqtt_persistent, hybrid]\n"
NINE = ", ".join(["*{}"] * 9)
BOMB = "a: &a [x]\n" + "".join(f"{n}: &{n} [{NINE.replace('{}', m)}]\n" for m, n in zip("abcdef", "bcdefg", strict=True))

#: content of t.yaml -> end of the line that `check` says of it
FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "the file is empty, expected keys such as name, route, strategies"),
    "only a comment": ("# nothing\n", "the file is empty, expected keys such as name, route, strategies"),
    "a list": ("- a\n- b\n", "the file is not a mapping, expected keys such as name, route, strategies"),
    "a number": ("5\n", "the file is not a mapping, expected keys such as name, route, strategies"),
    "binary": (b"\x89PNG\r\n\x1a\n" + bytes(200), "t.yaml:1:1: byte 0x89 is not UTF-8, save the file as UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "t.yaml:1:1: byte 0xFF is not UTF-8, save the file as UTF-8"),
    "Latin-1": (b"name: caf\xe9\n", "t.yaml:1:10: byte 0xE9 is not UTF-8, save the file as UTF-8"),
    "a NUL": (GOOD + "description: a\0b\n", "t.yaml:4:15: character U+0000 is not allowed in YAML"),
    "an escaped NUL": (GOOD + 'description: "a\\0b"\n', "t.yaml:4:14: description: text with NUL or half a surrogate pair is not allowed"),
    "tabs as indentation": ("script:\n\tsteps: []\n", "t.yaml:2:1: not valid YAML: a tab, expected spaces: YAML knows no tabs as indentation"),
    "an alias bomb": (BOMB, "more than 100000 values, or deeper than 80, once aliases are expanded"),
    "too deep": ("a: " + "[" * 500 + "]" * 500, "nested deeper than 40 levels"),
    "two documents": (GOOD + "---\n" + GOOD, "a second document begins here, a scenario file has one"),
    "a duplicate key": (GOOD + "seed: 1\nseed: 2\n", "t.yaml:5:1: seed: duplicate key, first written in line 4"),
    "larger than any": ("a: " + "x" * 2_000_000, "is larger than 1 MiB, no scenario file is"),
    "a key with a line end": (GOOD + '"a\\nb\\x1b[31m": x\n', "t.yaml:4:1: a b [31m: unknown key, "),
    "a number of 5000 digits": (GOOD + f"seed: {'9' * 5000}\n", "t.yaml:4:7: seed: the number is too long"),
    "1e400": (GOOD + "seed: 1e400\n", "t.yaml:4:7: seed: 1e400 is too large for a number"),
    ".nan": (GOOD + "drain: .nan\n", "t.yaml:4:8: drain: .nan is not allowed, expected a finite number"),
    ".inf": (GOOD + "drain: .inf\n", "t.yaml:4:8: drain: .inf is not allowed, expected a finite number"),
    "nan with a unit": (GOOD + "drain: nan s\n", "t.yaml:4:8: drain: 'nan s' is not understood, expected a duration such as 30 s (ms, s, min, h, d)"),
    "negative": (GOOD + "drain: -5 s\n", "t.yaml:4:8: drain: -5 s is out of range, expected at least 0 s"),
    "unknown unit": (GOOD + "drain: 5 fortnights\n", "t.yaml:4:8: drain: unknown unit 'fortnights', expected a duration such as 30 s (ms, s, min, h, d)"),
    "a list for a duration": (GOOD + "drain: [5 s]\n", "t.yaml:4:8: drain: expected a duration such as 30 s (ms, s, min, h, d)"),
    "a mapping for a name": (GOOD.replace("hybrid]", "{use: hybrid, name: {a: b}}]"), "strategies.1.name: expected text"),
    "a strategy in a strategy": (GOOD.replace("hybrid]", "[hybrid]]"), "strategies.1: expected the name of a strategy, or a mapping with `use`"),
    "a name that leaves the folder": (GOOD.replace("name: t", "name: ../../etc"), "name: is used as the name of a folder: letters, digits, '.', '_' and '-', at most 80, a letter or digit first"),
    "no space after the colons": ("name:t\nseed:1\n", "t.yaml:1:1: the file is not a mapping, a key needs a space after its colon, expected keys such as name, route, strategies"),
    "more after the end": (GOOD + "...\nseed: 1\n", "not valid YAML: text after the end of the document, a scenario file has one"),
    "a text that begins with %": (GOOD + "description: %5\n", "t.yaml:4:14: not valid YAML: a text that begins with this character needs quotes"),
    "a decimal comma": (GOOD + "drain: 1,5 s\n", "t.yaml:4:8: drain: '1,5 s' has a comma, write a point: 1.5 s"),
    "a number in quotes": (GOOD + "replications: '3'\n", "t.yaml:4:15: replications: '3' is text, write it without quotes, expected a whole number at least 1 and at most 1000000"),
    "the name of a strategy as a key": (GOOD.replace("hybrid]", "{hybrid: {poll: 5 s}}]"), "strategies.1.hybrid: the name of a strategy is no key, expected {use: hybrid, ...} with its settings beside it"),
    "a strategy without a name": (GOOD.replace("hybrid]", "'']"), "strategies.1: unknown strategy, allowed: mqtt_persistent, ddns_heartbeat, hybrid, mqtt_clean_session, static_push"),
    "a log without a name": (GOOD.replace(SCRIPT, "recorded: {file: ''}\n"), "recorded.file: '' is a folder, expected a file"),
    "steps nested": (GOOD.replace("[{at: 0 s, link: up, gateway: a}]", "[[[[]]]]"), "script.steps.0: expected a mapping (key: value)"),
    "no time": (GOOD.replace("duration: 20 s", "duration: 0 s"), "script.duration: 0 s is out of range, expected more than 0 s"),
    "more drives than anybody has": (GOOD + "replications: 9000000\n", "t.yaml:4:15: replications: 9000000 is out of range, expected at least 1 and at most 1000000"),
    "more messages than anybody means": (GOOD + "workload: {telemetry: {every: 0.001 ms}}\n", "t.yaml:4:31: workload.telemetry.every: makes 20,000,000 messages in a drive of 20 s, at most 1,000,000 are allowed"),
    "a log that is not there": (GOOD.replace(SCRIPT, "recorded: {file: no.csv}\n"), "recorded.file: no such file: no.csv"),
    "a folder as a log": (GOOD.replace(SCRIPT, "recorded: {file: folder}\n"), "recorded.file: folder is a folder, expected a file"),
    "a pipe as a log": (GOOD.replace(SCRIPT, "recorded: {file: pipe}\n"), "recorded.file: pipe is no regular file"),
    "a device without end as a log": (GOOD.replace(SCRIPT, "recorded: {file: /dev/zero}\n"), "recorded.file: /dev/zero is no regular file"),
    "a loop of links as a log": (GOOD.replace(SCRIPT, "recorded: {file: loop}\n"), "recorded.file: loop cannot be read as CSV text: Too many levels of symbolic links"),
    "a folder as a strategy": (GOOD.replace("hybrid]", "'folder.py:X']"), "strategies.1: folder.py is a folder, expected a file"),
    "a pipe as a strategy": (GOOD.replace("hybrid]", "'pipe.py:X']"), "strategies.1: pipe.py is no regular file"),
    "a folder as a broker's configuration": (GOOD + "server: {broker: {preset: mosquitto, config: folder}}\n", "server.broker.config: folder is a folder, expected a file"),
    "an objective that is a number": (GOOD + "objectives: [5]\n", "t.yaml:4:14: objectives.0: expected a mapping (key: value)"),
}  # fmt: skip

#: words of the command line -> how its only line begins
COMMANDS: dict[str, tuple[list[str], str]] = {
    "no such file": (["run", "no.yaml"], "no.yaml: cannot be read: No such file or directory"),
    "a folder": (["run", "folder"], "folder: cannot be read: Is a directory"),
    "a pipe that nobody fills": (["run", "pipe"], "pipe: is a pipe, which nobody may fill, expected a file"),
    "a device without end": (["run", "/dev/zero"], "/dev/zero: is larger than 1 MiB, no scenario file is"),
    "a pipe in a sweep": (["sweep", "pipe", "--vary", "seed=1,2"], "pipe: is a pipe, which nobody may fill, expected a file"),
    "a pipe as a field log": (["validate", "t.yaml", "--against", "pipe"], "pipe: is no regular file"),
    "a folder as a field log": (["validate", "t.yaml", "--against", "folder"], "folder: is a folder, expected a file"),
    "a device as a field log": (["validate", "t.yaml", "--against", "/dev/zero"], "/dev/zero: is no regular file"),
    "--precision without %": (["run", "t.yaml", "--precision", "5"], "--precision 5: 5 is out of range, expected a share such as 5% or 0.05"),
    "--precision of a sweep without %": (["sweep", "t.yaml", "--vary", "seed=1,2", "--metric", "reachability", "--precision", "1"], "--precision 1: 1 is out of range, expected a share such as 5% or 0.05"),
    "--junit in no folder": (["run", "t.yaml", "--junit", "nowhere/j.xml"], "--junit nowhere/j.xml: cannot be written: No such file or directory"),
    "--junit is a folder": (["run", "t.yaml", "--junit", "folder"], "--junit folder: cannot be written: is a folder, expected a file"),
    "sweep, --out is a file": (["sweep", "t.yaml", "--vary", "seed=1,2", "--out", "t.yaml"], "t.yaml/t: the results cannot be written: Not a directory"),
    "--precision, --out is a file": (["run", "t.yaml", "--precision", "5 %", "--out", "t.yaml"], "t.yaml/t: the results cannot be written: Not a directory"),
    "live, --out is a file": (["live", "t.yaml", "--out", "t.yaml"], "t.yaml/t: the results cannot be written: Not a directory"),
    "validate, --out is a file": (["validate", "t.yaml", "--out", "t.yaml"], "t.yaml/t: the results cannot be written: Not a directory"),
    "a client that is not there": (["live", "t.yaml", "--link", "packet", "--client", "nosuchprogram {host}"], "--client: no program 'nosuchprogram' in PATH, expected the name of one or a path to it"),
    "a client that is a folder": (["live", "t.yaml", "--link", "packet", "--client", "./folder"], "--client: ./folder is no file, expected a program"),
    "a client that is no program": (["live", "t.yaml", "--link", "packet", "--client", "./t.yaml"], "--client: ./t.yaml is not executable"),
    "a loop of links": (["run", "loop"], "loop: cannot be read: Too many levels of symbolic links"),
    "a NUL in the name": (["run", "a\0b"], "a b: cannot be read: embedded null byte"),
    "a name of 5000 letters": (["run", "a" * 5000], "aaaa"),
    "no file at all": (["run"], "python -m sim run: missing argument 'FILE'"),
    "a command that is not there": (["rum", "t.yaml"], "python -m sim: no such command 'rum'"),
    "an option that is not there": (["run", "t.yaml", "--sed", "1"], "python -m sim run: no such option: --sed"),
    "-j 0": (["run", "t.yaml", "-j", "0"], "python -m sim run: invalid value for '-j'"),
    "--seed -1": (["run", "t.yaml", "--seed", "-1"], "--seed: -1 is out of range, expected at least 0"),
    "--replications 0": (["run", "t.yaml", "--replications", "0"], "--replications: 0 is out of range, expected at least 1"),
    "--replications x": (["run", "t.yaml", "--replications", "x"], "python -m sim run: invalid value for '--replications'"),
    "--set nothing": (["run", "t.yaml", "--set", ""], "--set : expected key=value"),
    "--set without a key": (["run", "t.yaml", "--set", "=5"], "--set =5: expected key=value"),
    "--set a strategy": (["run", "t.yaml", "--set", "hybrid=5"], "--set hybrid: is a strategy, name one of its settings"),
    "--set a key with dots alone": (["run", "t.yaml", "--set", "..=5"], "--set ..: "),
    "--set a list that does not end": (["run", "t.yaml", "--set", "seed=[1"], "--set seed: not valid YAML"),
    "--set a strategy by a number too large": (["run", "t.yaml", "--set", "strategies.9.poll=5 s"], "--set strategies.9.poll: there is no item '9' in strategies"),
    "--vary nothing": (["run", "t.yaml", "--vary", "hybrid.poll="], "--vary hybrid.poll: expected values with commas between them"),
    "--vary with an empty value": (["run", "t.yaml", "--vary", "hybrid.poll=5 s,"], "--vary hybrid.poll: expected values with commas between them"),
    "--vary a key of the scenario": (["run", "t.yaml", "--vary", "seed=1,2"], "--vary seed: --vary takes a setting of a strategy"),
    "--strategy nobody": (["run", "t.yaml", "--strategy", ""], "--strategy : unknown strategy"),
    "--out is a file": (["run", "t.yaml", "--out", "t.yaml"], "t.yaml/t: the results cannot be written: Not a directory"),
    "--out is a loop of links": (["run", "t.yaml", "--out", "loop"], "loop/t: the results cannot be written: Too many levels of symbolic links"),
    "explain nothing": (["explain", "folder", "ota:1"], "folder: is not the folder of a run, it has no manifest.json"),
    "bench without an end": (["bench", "--hours", "inf"], "python -m sim bench: invalid value for '--hours'"),
    "init in a file": (["init", "t.yaml/x"], "t.yaml/x.yaml: there is no folder t.yaml, make it first"),
    "init a folder": (["init", "folder"], "folder: is a folder, expected a name, or a path such as folder/my_drive.yaml"),
    "init another kind of file": (["init", "x.json"], "x.json: expected a name without a dot, or a path that ends in .yaml"),
    "init nothing": (["init", ""], "the name is empty, expected a name, or a path such as my_drive.yaml"),
    "a setting of an unknown strategy": (["run", "t.yaml", "--strategy", "hybird", "--set", "hybrid.poll=5 s"], "--strategy hybird: unknown strategy, did you mean hybrid"),
    "a pipe as a certificate": (["broker", "--cert", "pipe", "--key", "pipe"], "pipe: is no regular file"),
    "a pipe as an authority": (["probe", "127.0.0.1:1", "--tls", "pipe"], "TLS: pipe: is no regular file"),
    "a pipe as a key of names": (["api", "--dns-key", "pipe", "--port", "0"], "--dns-key: pipe cannot be used: is no regular file"),
    "a vehicle without a VIN": (["api", "--vin", "", "--port", "0"], "--vin: '' is no VIN: letters, digits and hyphens, 50 at most"),
    "a TTL without a unit": (["api", "--ttl", "5"], "--ttl: 5 has no unit, expected a duration such as 30 s"),
    "certificates in a file": (["certificates", "t.yaml"], "t.yaml: is no folder"),
    "init two lines": (["init", "a\nb"], "a b: the name is used as the name of a folder"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what is no file: a folder, a pipe, a link to itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(GOOD, encoding="utf-8")
    for name in ("folder", "folder.py"):
        (tmp_path / name).mkdir()
    for name in ("pipe", "pipe.py"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize("case", FILES)
def test_a_malformed_file(folder: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, end = FILES[case]
    (folder / "t.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["check", "t.yaml"]) == 2
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith("t.yaml:")
    assert end in line if end.endswith(", ") else line.endswith(end)


@pytest.mark.parametrize("case", COMMANDS)
def test_a_malformed_command(folder: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    words, beginning = COMMANDS[case]
    before = sorted(path.name for path in folder.iterdir())
    assert main(words) == 2
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(beginning)
    assert len(line) < 2100
    assert captured.out == ""
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode(), (GOOD + "description: 😀\n").encode()]
)
def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_mistakes(folder: Path, content: bytes) -> None:
    (folder / "t.yaml").write_bytes(content)
    assert main(["check", "t.yaml"]) == 0


def test_of_very_many_mistakes_the_first_are_shown(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "t.yaml").write_text(GOOD + "".join(f"k{number}: 1\n" for number in range(20_000)), encoding="utf-8")
    assert main(["check", "t.yaml"]) == 2
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 101
    assert lines[-1] == "t.yaml: and more mistakes, the first 100 are shown"
