"""The command of a user's own client: its words, its placeholders, what is refused, how its end is told."""

from __future__ import annotations

import pytest

from sim.cli import main
from sim.live.client_command import CommandRefused, parse_command
from sim.live.client_host import ProgramEnd

VALUES = {"host": "ota-server.com", "port": "8883", "client_id": "vehicle-VIN123", "vin": "VIN123"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mosquitto_sub -h {host} -p {port}", ["mosquitto_sub", "-h", "ota-server.com", "-p", "8883"]),
        ("a -t 'vehicle/{vin}/#' -i {client_id}", ["a", "-t", "vehicle/VIN123/#", "-i", "vehicle-VIN123"]),
        ("a --url=mqtts://{host}:{port}/", ["a", "--url=mqtts://ota-server.com:8883/"]),
        ("""a -m '{"status":"online"}' '{}' '{ }' '{0}'""", ["a", "-m", '{"status":"online"}', "{}", "{ }", "{0}"]),
    ],
)
def test_words_are_split_as_a_shell_does_and_filled_in(text, words):
    assert parse_command(text).filled(VALUES) == words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a {hots}", "--client: unknown placeholder {hots}, known: {host}, {port}, {client_id}, {vin}, {ca}, {cert}, {key}, "
                     "{username}, {password}"),
        ("a 'b", "--client: no closing quotation in \"a 'b\""),
        ("  ", "--client: no program is named"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_in_a_line(text, line):
    with pytest.raises(CommandRefused) as refused:
        parse_command(text)
    assert str(refused.value) == line


def test_without_certificates_nothing_stands_for_their_files():
    with pytest.raises(CommandRefused, match=r"^--client: nothing stands for \{ca\}: server.tls is none, so there are no cert"):
        parse_command("a {ca}").filled(VALUES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mosquitto_sub -v", "mosquitto_sub"),
        ("/opt/vmg/bin/client", "client"),
        ("/usr/bin/python3.11 -u /home/me/vmg_client.py {host}", "vmg_client.py"),
        ("sh -c 'a | b'", "sh"),
        ("node", "node"),
    ],
)
def test_a_program_goes_by_its_own_name(text, name):
    assert parse_command(text).name == name


@pytest.mark.parametrize(
    ("code", "words", "failed", "text"),
    [
        (None, "", False, "ran until the lab ended it"),
        (0, "", False, "ended by itself at 3.2 s of the drive, with exit code 0. The run ends there, and"),
        (7, "no route", True, "ended by itself at 3.2 s of the drive, with exit code 7, its last words: no route. The run"),
        (-11, "", True, "was killed by SIGSEGV at 3.2 s of the drive. The run ends there"),
        (127, "a: No such file or directory", True, "could not be started, its last words: a: No such file or directory. The"),
    ],
)
def test_how_a_program_ended_is_told_in_words(code, words, failed, text):
    end = ProgramEnd(code, 3.21, words)
    assert end.failed is failed
    assert end.in_words().startswith(text)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--client", "a"], "--client needs --link packet: the program runs in the vehicle's own network namespace"),
        (["--link", "packet", "--client", "a {b}"], "--client: unknown placeholder {b}, known: "),
        (
            ["--link", "packet", "--client", "a", "--set", "workload.ota={image: 1 MiB, chunk: 64 KiB, window: 4}"],
            "--client: workload.ota.window waits for answers of the lab's own vehicle; use workload.ota.every",
        ),
    ],
)
def test_on_the_command_line_it_is_one_line_and_exit_code_2(options, line, capfd, tmp_path):
    assert main(["live", "scenarios/one_handover.yaml", "--out", str(tmp_path), *options]) == 2
    told = capfd.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1
