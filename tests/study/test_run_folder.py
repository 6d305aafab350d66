"""Results that cannot be written: one line, exit code 2, nothing half-written. And what stands in the place of a run already."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.cli import main
from sim.study.run_folder import ResultsNotWritten, new_run_folder, remove_left_behind

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["run", str(ROOT / "scenarios/one_handover.yaml"), "--replications", "2", "-j", "1", "--out"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(disk: Path, free_bytes: int) -> None:
    usage = shutil.disk_usage(disk)
    (disk / "ballast").write_bytes(b"x" * max(0, usage.free - free_bytes))


@pytest.mark.parametrize("free_kib", [0, 8, 40, 100, 400])
def test_a_full_disk_is_one_line_and_leaves_nothing(small_disk: Path, free_kib: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Wherever it fills up: folder, tables, manifest, metrics, figures."""
    _fill(small_disk, free_kib * 1024)
    out = small_disk / "a" / "b"
    assert main([*WORDS, str(out)]) == 2
    captured = capfd.readouterr()
    assert captured.err == f"{out / 'one_handover'}: the results cannot be written: No space left on device\n"
    assert captured.out == ""
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_report_on_a_full_disk_leaves_the_earlier_one(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, str(small_disk)]) == 0
    (run_dir,) = (small_disk / "one_handover").iterdir()
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    _fill(small_disk, 200 * 1024)
    capfd.readouterr()
    assert main(["report", str(run_dir)]) == 2
    assert capfd.readouterr().err == f"{run_dir}: the report cannot be written: No space left on device\n"
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before


def test_a_starter_on_a_full_disk(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _fill(small_disk, 0)
    assert main(["init", str(small_disk / "mine")]) == 2
    assert capfd.readouterr().err == f"{small_disk / 'mine.yaml'}: cannot be written: No space left on device\n"
    assert not (small_disk / "mine.yaml").exists()


SHORT = """\
name: t
script: {steps: [{at: 0 s, link: up, gateway: a, rtt: 50 ms}], duration: 1 s}
server: {tls: classical}
workload: {telemetry: {every: 1 s}}
strategies: [mqtt_persistent]
drain: 0 s
"""


@pytest.fixture
def short(tmp_path: Path) -> str:
    """A scenario of a second."""
    (tmp_path / "t.yaml").write_text(SHORT, encoding="utf-8")
    return str(tmp_path / "t.yaml")


def _on_a_full_disk(disk: Path, words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The last line of what is said; nothing is left."""
    assert main(words) == 2
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    return capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("free_kib", [0, 4, 12])
def test_studies_on_a_full_disk_name_the_path(
    small_disk: Path, short: str, free_kib: int, capfd: pytest.CaptureFixture[str]
) -> None:
    _fill(small_disk, free_kib * 1024)
    sweep = ["sweep", short, "--vary", "mqtt_persistent.keep_alive=10 s,20 s", "-j", "1", "--out", str(small_disk)]
    for words in (sweep, ["run", short, "--precision", "5%", "--most-drives", "3", "--out", str(small_disk)]):
        assert main(words) == 2
        line = capfd.readouterr().err.splitlines()[-1]
        assert line.startswith(str(small_disk))
        assert line.endswith(": the results cannot be written: No space left on device")


def test_a_comparison_on_a_full_disk(small_disk: Path, short: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in ("1", "2"):
        assert main(["run", short, "--seed", seed, "--out", str(tmp_path / "good")]) == 0
    _fill(small_disk, 0)
    words = ["compare", *map(str, (tmp_path / "good" / "t").iterdir()), "--out", str(small_disk)]
    line = _on_a_full_disk(small_disk, words, capfd)
    assert line.startswith(str(small_disk))
    assert line.endswith(": the results cannot be written: No space left on device")


def test_a_live_run_on_a_full_disk(small_disk: Path, short: str, capfd: pytest.CaptureFixture[str]) -> None:
    _fill(small_disk, 0)
    line = _on_a_full_disk(small_disk, ["live", short, "--out", str(small_disk)], capfd)
    assert line == f"{small_disk / 't'}: the results cannot be written: No space left on device"


@pytest.mark.parametrize("free_kib", [0, 8])
def test_certificates_on_a_full_disk_leave_nothing_and_can_be_made_later(
    small_disk: Path, free_kib: int, capfd: pytest.CaptureFixture[str]
) -> None:
    _fill(small_disk, free_kib * 1024)
    pki = small_disk / "pki"
    line = _on_a_full_disk(small_disk, ["certificates", str(pki)], capfd)
    assert line == f"{pki}: the certificates cannot be written: No space left on device"
    (small_disk / "ballast").unlink()
    assert main(["certificates", str(pki)]) == 0
    assert sorted(path.name for path in pki.iterdir()) == ["ca.crt", "server.crt", "server.key", "vmg.crt", "vmg.key"]


def test_verdicts_on_a_full_disk_leave_the_file_as_it_was(
    small_disk: Path, short: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "there.xml").write_text("mine", encoding="utf-8")
    _fill(small_disk, 0)
    for name, begun in (("new.xml", False), ("there.xml", True)):
        junit = small_disk / name
        assert main(["run", short, "--junit", str(junit), "--out", str(tmp_path / "good")]) == 2
        assert capfd.readouterr().err.splitlines()[-1] == f"--junit {junit}: cannot be written: No space left on device"
        assert (tmp_path / "good").exists() is begun  # it can be opened, and takes nothing: found at the end alone
    assert (small_disk / "there.xml").read_text(encoding="utf-8") == "mine"
    assert not (small_disk / "new.xml").exists()


@pytest.mark.parametrize("kib", [4, 40])
def test_files_that_may_not_grow(tmp_path: Path, kib: int) -> None:
    """A limit on the size of files (in blocks of 512 bytes) meets the same places as a quota or a full disk, without root."""
    words = [sys.executable, "-m", "sim", *WORDS, str(tmp_path / "out")]
    limited = f"ulimit -f {kib * 2}; exec " + " ".join(words)
    done = subprocess.run(["sh", "-c", limited], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / 'out' / 'one_handover'}: the results cannot be written: File too large\n"
    assert not (tmp_path / "out").exists()


def test_no_right_and_names_that_are_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert main([*WORDS, str(tmp_path / "file")]) == 2
    assert capfd.readouterr().err == f"{tmp_path}/file/one_handover: the results cannot be written: Not a directory\n"
    assert main([*WORDS, "/proc/results"]) == 2
    assert capfd.readouterr().err.startswith("/proc/results/one_handover: the results cannot be written: ")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("words", ["list", "schema", "--help", "run --help", "check scenarios/one_handover.yaml"])
def test_an_output_that_takes_nothing(words: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    done = subprocess.run(
        f"{sys.executable} -m sim {words} > /dev/full", shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "stdout: No space left on device\n")


def test_a_closed_output_is_no_error() -> None:
    done = subprocess.run(f"{sys.executable} -m sim list >&-", shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- the folder alone ---------------------------------------------------------------------------------------------------


def _write(parent: Path, text: str) -> Path:
    with new_run_folder(parent, "r1") as folder:
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        (folder / "figures").mkdir()
        (folder / "figures" / f"ledger.{text}").write_text(text, encoding="utf-8")
    return parent / "r1"


def test_a_second_run_of_the_same_id_takes_the_place_and_keeps_what_is_the_users(tmp_path: Path) -> None:
    final = _write(tmp_path, "first")
    (final / "notes.txt").write_text("mine", encoding="utf-8")
    (final / "figures" / "mine.svg").write_text("mine", encoding="utf-8")
    (final / "folder").mkdir()
    (final / "folder" / "more.txt").write_text("mine", encoding="utf-8")
    _write(tmp_path, "second")
    found = {path.relative_to(final).as_posix(): path.read_text(encoding="utf-8") for path in final.rglob("*") if path.is_file()}
    assert found == {
        "manifest.json": "second",
        "figures/ledger.second": "second",
        "notes.txt": "mine",
        "figures/mine.svg": "mine",
        "folder/more.txt": "mine",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["r1"]


def test_an_exception_leaves_the_earlier_run(tmp_path: Path) -> None:
    final = _write(tmp_path, "first")
    with pytest.raises(ZeroDivisionError), new_run_folder(tmp_path, "r1") as folder:
        (folder / "manifest.json").write_text(str(1 / 0), encoding="utf-8")
    assert (final / "manifest.json").read_text(encoding="utf-8") == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["r1"]


def test_a_file_in_the_place_of_the_run_stays(tmp_path: Path) -> None:
    (tmp_path / "r1").write_text("mine", encoding="utf-8")
    with pytest.raises(ResultsNotWritten, match="Not a directory"), new_run_folder(tmp_path, "r1"):
        pass
    assert (tmp_path / "r1").read_text(encoding="utf-8") == "mine"


def test_a_run_killed_while_it_took_the_place_gives_back_what_was_there(tmp_path: Path) -> None:
    """The older folder was moved out, the new one not yet in: the next run puts the older one back before it begins."""
    final = _write(tmp_path, "first")
    hidden = tmp_path / ".r1.abcdefgh"
    (hidden / "new").mkdir(parents=True)
    (hidden / "lock").touch()  # held by nobody
    final.rename(hidden / "old1")
    remove_left_behind(tmp_path)
    assert (final / "manifest.json").read_text(encoding="utf-8") == "first"
    assert not hidden.exists()


def test_a_folder_whose_run_goes_on_is_left_alone(tmp_path: Path) -> None:
    with new_run_folder(tmp_path, "r1") as folder:
        remove_left_behind(tmp_path)
        assert folder.is_dir()
        _write(tmp_path, "another run of the same id, at the same time")
        assert folder.is_dir()
        (folder / "manifest.json").write_text("last", encoding="utf-8")
    assert (tmp_path / "r1" / "manifest.json").read_text(encoding="utf-8") == "last"
