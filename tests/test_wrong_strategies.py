# ruff: noqa: E501 - a table of lines reads best with a line a row
"""A strategy of the user's own that does wrong things: exit code 2, one line."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest

import sim.machine
from sim import compiled
from sim.cli import main
from sim.scenario.user_machine import FIELDS

SCENARIO = """\
name: wrong
script:
  steps: [{at: 0 s, link: up, gateway: a}, {at: 20 s, gateway: b}]
  duration: 60 s
network: {gateways: {a: {address: 10.1.1.1}, b: {address: 10.2.2.2}}}
workload:
  ota: {image: 1 MiB, chunk: 256 KiB, every: 5 s}
  diagnostics: {every: 20 s, timeout: 10 s}
  telemetry: {every: 10 s, size: 1 KiB}
strategies: ['own.py:Own']
drain: 20 s
"""

SOURCE = """\
import math, sys
from dataclasses import dataclass
from sim.machine import *
from sim.protocols.http import HTTPRequest, HTTPResponse
from sim.protocols.mqtt_packets import Connect, Publish
from sim.strategies.backend import MQTTBackend
from sim.strategies.config import MQTTPersistent
from sim.strategies.mqtt_vehicle import MQTTVehicle

@dataclass(frozen=True)
class Settings(MQTTPersistent):
    pass

class Vehicle(MQTTVehicle):
    {vehicle}

class Server(MQTTBackend):
    {server}

class Own:
    Config = Settings

    @staticmethod
    def vehicle(config, context):
        {build}
        return Vehicle(config, context)

    @staticmethod
    def server(config, context):
        {build_server}
        return Server(context)
"""

#: what is put into SOURCE -> the line, after the name of the file. FILE stands for the path of own.py.
WRONG: dict[str, tuple[dict[str, str], str]] = {
    "vehicle is None": (
        {"build": "return None"},
        "own.py:Own: vehicle(config, context) returned None; expected a machine: an object with handle(now, event), next_deadline() and "
        "handle_deadline(now)",
    ),
    "vehicle without the contract": (
        {"build": "return object()"},
        "own.py:Own: vehicle(config, context) returned an object of object, which has no handle and no next_deadline and no handle_deadline; "
        "expected a machine: an object with handle(now, event), next_deadline() and handle_deadline(now)",
    ),
    "vehicle is a class": (
        {"build": "return Vehicle"},
        "own.py:Own: vehicle(config, context) returned the class Vehicle; expected a machine: an object with handle(now, event), "
        "next_deadline() and handle_deadline(now)",
    ),
    "server without a broker does not say so": (
        {
            "build_server": "return type('Bare', (), {'handle': lambda *a: [], 'next_deadline': lambda *a: NEVER, "
            "'handle_deadline': lambda *a: []})()"
        },
        "own.py:Own: server(config, context) returned an object of Bare, which has no join(broker) and deadlines; a server without a broker "
        "says uses_broker = False, one with a broker derives from MQTTBackend",
    ),
    "constructor raises": (
        {"vehicle": "def __init__(self, config, context): raise KeyError('towers')"},
        "FILE:15: Own: KeyError: 'towers', in vehicle(config, context) (--debug shows the traceback)",
    ),
    "builder takes other arguments": (
        {"build": "return Vehicle(config)"},
        "FILE:25: Own: TypeError: ",
    ),
    "sys.exit in a builder": (
        {"build": "sys.exit(0)"},
        "FILE:25: Own: sys.exit(): 0, in vehicle(config, context) (--debug shows the traceback)",
    ),
    "handle returns None": (
        {"vehicle": "def handle(self, now, event): return None"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned None at ",
    ),
    "handle returns text": (
        {"vehicle": "def handle(self, now, event): return 'nothing'"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned 'nothing' (str) at ",
    ),
    "handle returns a tuple": (
        {"vehicle": "def handle(self, now, event): return ()"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned () (tuple) at ",
    ),
    "handle is a coroutine": (
        {"vehicle": "async def handle(self, now, event): return []"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned an object of coroutine at ",
    ),
    "handle is a generator": (
        {"vehicle": "def handle(self, now, event): yield Note('x')"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned an object of generator at ",
    ),
    "handle returns a list of texts": (
        {"vehicle": "def handle(self, now, event): return ['SendPacket']"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned a list with 'SendPacket' (str) at ",
    ),
    "an action of one's own": (
        {"vehicle": "def handle(self, now, event): return [type('Teleport', (Note,), {})('away')]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned a list with Teleport(kind='away', transport=-1, detail='') at ",
    ),
    "handle_deadline returns None": (
        {"vehicle": "def handle_deadline(self, now): return None"},
        "own.py:Own: the vehicle's handle_deadline() of Vehicle returned None at ",
    ),
    "handle takes other arguments": (
        {"vehicle": "def handle(self, event): return []"},
        "own.py:Own: TypeError: Vehicle.handle() takes 2 positional arguments but 3 were given, in the vehicle's handle(AddressChanged) at ",
    ),
    "deadline is NaN": (
        {"vehicle": "def next_deadline(self): return math.nan"},
        "own.py:Own: the vehicle's next_deadline() of Vehicle returned NaN at ",
    ),
    "deadline is None": (
        {"vehicle": "def next_deadline(self): return None"},
        "own.py:Own: the vehicle's next_deadline() of Vehicle returned None at ",
    ),
    "deadline is text": (
        {"vehicle": "def next_deadline(self): return '5 s'"},
        "own.py:Own: the vehicle's next_deadline() of Vehicle returned '5 s' (str) at ",
    ),
    "deadline is always 0": (
        {"vehicle": "def next_deadline(self): return 0.0"},
        "own.py:Own: the vehicle's machine of Vehicle was called 100,000 times between 0.000 s and 0.000 s and wants to be at 0.0 (float) again at ",
    ),
    "deadline is always long past": (
        {"vehicle": "def next_deadline(self): return -1e6"},
        "own.py:Own: the vehicle's machine of Vehicle was called 100,000 times between ",
    ),
    "deadlines that hardly move": (
        {"vehicle": "now = -70.0\n    def next_deadline(self): Vehicle.now += 1e-7; return Vehicle.now\n    def handle_deadline(self, now): return []"},
        "own.py:Own: the vehicle's machine of Vehicle was called 100,000 times between ",
    ),
    "server's deadline is in the past": (
        {"server": "def handle(self, now, event):\n        self.deadlines.set('late', now - 1.0)\n        return super().handle(now, event)"},
        "own.py:Own: the server's deadlines of Server hold ",
    ),
    "an endless loop through inputs": (
        {
            "vehicle": "n = 0\n    def handle(self, now, event):\n        Vehicle.n += 1\n        return [ResolveName('nowhere.invalid', Vehicle.n)]"
        },
        "own.py:Own: the vehicle's machine of Vehicle was called 100,000 times between ",
    ),
    "an exception": (
        {"vehicle": "def handle(self, now, event): return 1 / 0"},
        "FILE:15: Own: ZeroDivisionError: division by zero, in the vehicle's handle(AddressChanged) at ",
    ),
    "an exception of one's own that cannot be pickled": (
        {
            "vehicle": "def handle(self, now, event):\n        class Odd(Exception):\n            def __init__(self, a, b): super().__init__('odd')\n"
            "        raise Odd(1, 2)"
        },
        "FILE:18: Own: Odd: odd, in the vehicle's handle(AddressChanged) at ",
    ),
    "endless recursion": (
        {"vehicle": "def handle(self, now, event): return self.handle(now, event)"},
        "FILE:15: Own: RecursionError: maximum recursion depth exceeded",
    ),
    "an exception inside the lab's own code": (
        {"vehicle": "def __init__(self, config, context):\n        super().__init__(config, context)\n        self._outbox = None"},
        "own.py:Own: ",
    ),
    "sys.exit in a machine": (
        {"vehicle": "def handle(self, now, event): sys.exit(0)"},
        "FILE:15: Own: sys.exit(): 0, in the vehicle's handle(AddressChanged) at ",
    ),
    "sys.exit in what the broker calls": (
        {"server": "def arrived(self, now, message, via, out): sys.exit(5)"},
        "FILE:18: Own: sys.exit(): 5, while its machines ran (--debug shows the traceback)",
    ),
    "sends on a transport it never opened": (
        {"vehicle": "def handle(self, now, event): return [SendPacket(7, HTTPRequest('GET', '/'))]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned SendPacket(transport=7, packet=HTTPRequest(method='GET', path='/', ",
    ),
    "server sends on a transport that nobody opened": (
        {"server": "def handle(self, now, event): return [SendPacket(7, HTTPResponse(200))]"},
        "own.py:Own: the server's handle(MessageCreated) of Server returned SendPacket(transport=7, packet=HTTPResponse(status=200, ",
    ),
    "sends before the transport is open": (
        {"vehicle": "def handle(self, now, event): return [OpenTransport(1, '10.0.0.1', 443), SendPacket(1, HTTPRequest('GET', '/'))]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned SendPacket(transport=1, packet=HTTPRequest(method='GET', path='/', ",
    ),
    "sends no packet": (
        {"vehicle": "def handle(self, now, event): return [SendPacket(1, b'hello')]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned SendPacket(transport=1, packet=b'hello') at ",
    ),
    "sends for a purpose of its own": (
        {"vehicle": "def handle(self, now, event): return [SendPacket(1, HTTPRequest('GET', '/', purpose='fun'))]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned SendPacket(transport=1, packet=HTTPRequest(method='GET', ",
    ),
    "opens a transport twice": (
        {"vehicle": "def handle(self, now, event): return [OpenTransport(1, '10.0.0.1', 443), OpenTransport(1, '10.0.0.1', 443)]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned OpenTransport(transport=1, address='10.0.0.1', port=443, ",
    ),
    "opens one of the driver's transports": (
        {"vehicle": "def handle(self, now, event): return [OpenTransport(1000001, '10.0.0.1', 443)]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned OpenTransport(transport=1000001, ",
    ),
    "opens a name that is no text": (
        {"vehicle": "def handle(self, now, event): return [OpenTransport(1, None, 443)]"},
        "own.py:Own: ",
    ),
    "opens for an unknown purpose": (
        {"vehicle": "def handle(self, now, event): return [OpenTransport(1, '10.0.0.1', 443, purpose='mqqt')]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned OpenTransport(transport=1, ",
    ),
    "delivers something else": (
        {"vehicle": "def handle(self, now, event): return [Deliver('ota', 'mqtt')]"},
        "own.py:Own: ",
    ),
    "drops for a cause of its own": (
        {"vehicle": "def handle(self, now, event): return [Drop(event.message, 'tired')] if type(event) is MessageCreated else super().handle(now, event)"},
        "own.py:Own: the vehicle's handle(MessageCreated) of Vehicle returned Drop(message=Message(",
    ),
    "creates a message of no kind": (
        {"vehicle": "def handle(self, now, event): return [Create(Message(5, 'video', 't', 10, 0, now))]"},
        "own.py:Own: the vehicle's handle(AddressChanged) of Vehicle returned Create(message=Message(",
    ),
    "loses a message": (
        {"vehicle": "def handle(self, now, event): return [] if type(event) is MessageCreated else super().handle(now, event)"},
        "own.py:Own: its machines lost track: telemetry message ",
    ),
    "held gives something else": (
        {"vehicle": "def held(self): return [1]"},
        "own.py:Own: the vehicle's held() of Vehicle gave 1 (int) at ",
    ),
    "held gives nothing": (
        {"vehicle": "def held(self): return None"},
        "own.py:Own: TypeError: 'NoneType' object is not iterable, in the vehicle's held() at ",
    ),
}  # fmt: skip
#: Of some the end of the line too: what is allowed.
ALLOWED = {
    "handle returns None": "; expected a list of actions (OpenTransport, CloseTransport, SendPacket, ResolveName, Create, Deliver, Drop, Note)",
    "handle returns a list of texts": "; allowed are OpenTransport, CloseTransport, SendPacket, ResolveName, Create, Deliver, Drop, Note",
    "deadline is None": "; expected an instant in s since the start of the drive, or NEVER",
    "deadline is always 0": "; expected a deadline that moves on",
    "sends on a transport it never opened": "; transport 7 was never opened, expected one of TransportOpened or TransportAccepted",
    "sends for a purpose of its own": "; the packet's purpose is 'fun' (str), allowed are payload, repeated, handshake, keep_alive, poll, heartbeat, probe",
    "sends before the transport is open": "; transport 1 is not open yet, expected to wait for TransportOpened",
    "opens a transport twice": "; transport 1 was opened before, expected a new id for each (TransportIds counts them)",
    "opens for an unknown purpose": "; purpose is 'mqqt', did you mean mqtt, allowed are mqtt, poll, heartbeat, push, post",
    "creates a message of no kind": "; the message's kind is 'video' (str), allowed are ota, diagnostics, telemetry, probe",
    "loses a message": "; of each message that was not delivered it has to hold a copy (held()) or say that it drops it (Drop)",
}


#: What the compiled form of the lab refuses by itself, in the user's own line: values of another type, subclasses of actions.
COMPILED_REFUSES = {
    "an action of one's own",
    "an exception inside the lab's own code",
    "opens a name that is no text",
    "delivers something else",
}


def _write(folder: Path, parts: dict[str, str]) -> Path:
    filled = {"vehicle": "pass", "server": "pass", "build": "pass", "build_server": "pass"} | parts
    source = SOURCE
    for name, text in filled.items():
        source = source.replace("{" + name + "}", text)
    (folder / "own.py").write_text(source, encoding="utf-8")
    path = folder / "wrong.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def test_the_strategy_runs_while_nothing_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(_write(tmp_path, {})), "--out", str(tmp_path / "out")]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("case", WRONG)
def test_one_line_and_exit_code_2(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    parts, beginning = WRONG[case]
    path = _write(tmp_path, parts)
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    if case in COMPILED_REFUSES and compiled.in_use():
        assert line.startswith(f"{tmp_path / 'own.py'}:1")
        assert ": Own: TypeError: " in line
    else:
        assert line.startswith(beginning.replace("FILE", str(tmp_path / "own.py")))
        assert line.endswith(ALLOWED.get(case, ""))
    assert captured.out == ""
    assert not [found for found in (tmp_path / "out").rglob("*") if found.is_file()]


@pytest.mark.parametrize(
    "case", ["an exception of one's own that cannot be pickled", "sys.exit in a machine", "handle returns None"]
)
def test_the_same_from_a_worker(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    parts, beginning = WRONG[case]
    path = _write(tmp_path, parts)
    assert main(["run", str(path), "--out", str(tmp_path / "out"), "-j", "2", "--replications", "3"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(beginning.replace("FILE", str(tmp_path / "own.py")))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_debug_shows_where_it_came_from(tmp_path: Path, jobs: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, WRONG["an exception"][0])
    assert main(["run", str(path), "--out", str(tmp_path / "out"), "--debug", "-j", jobs, "--replications", "2"]) == 2
    err = capfd.readouterr().err
    assert f'File "{tmp_path / "own.py"}", line 15, in handle' in err
    assert "ZeroDivisionError: division by zero\n" in err


@pytest.mark.skipif(compiled.in_use(), reason="compiled classes do not say what types their fields have")
def test_the_checked_fields_are_those_of_the_actions() -> None:
    assert set(FIELDS) == set(typing.get_args(sim.machine.Action))
    for action, fields in FIELDS.items():
        hints = typing.get_type_hints(action)
        assert list(fields) == [field.name for field in dataclasses.fields(action)]
        assert {name: object if hint is typing.Any else hint for name, hint in hints.items()} == fields
