"""live.log: what the vehicle sees, line by line, and who else came with its client id."""

from datetime import UTC, datetime

from sim.live.observed.visits import Visit
from sim.live.strangers import Strangers
from sim.live.vehicle_log import LogFile, VehicleLog, replay
from sim.machine import Note
from sim.protocols.mqtt_packets import V311, Connect
from sim.record.recorder import Connection


def attempt(address="10.1.1.100", *, ready_s=None, session=1):
    row = Connection(0, "mqtt", "vehicle", "start", address, 0.0, 0.0)
    row.session_present = session
    if ready_s is not None:
        row.connack_s = row.ready_s = ready_s
    return row


def lines_of(*, strangers=None):
    lines = []
    return lines, VehicleLog(lambda now, text: lines.append((now, text)), strangers)


def visit(client_id, near, at_s, *, clean=True):
    from sim.live.mqtt_codec import encode

    found = Visit(whole=False, near=near)
    data = encode(Connect(client_id, clean, 30), V311)
    found.up(at_s, data, len(data))
    return found


def test_a_drive_with_one_change_of_the_address():
    lines, log = lines_of()
    log.address(-1.0, "10.1.1.100")
    first = attempt(ready_s=0.3, session=0)
    log.note(0.3, Note("ready", 1, "mqtt"), first)
    log.address(10.0, None)
    log.address(11.2, "10.2.5.200")
    assert log.ended(17.0, first, "address") == "address"
    failed = attempt("10.2.5.200")
    assert log.ended(17.5, failed, "timed_out") == "timed_out"
    log.note(18.0, Note("ready", 2, "mqtt"), attempt("10.2.5.200", ready_s=18.0))
    assert lines == [
        (-1.0, "Address: 10.1.1.100"),
        (0.3, "Connected successfully from 10.1.1.100, no session present"),
        (10.0, "Address lost: 10.1.1.100"),
        (11.2, "Address changed: 10.1.1.100 -> 10.2.5.200"),
        (17.0, "Connection lost: the address changed"),
        (17.5, "Connection failed: TCP timed out"),
        (18.0, "Reconnected successfully from 10.2.5.200, session present, 1.000 s after the connection was lost"),
    ]


def test_other_channels_say_when_they_begin_and_their_requests_are_left_out():
    lines, log = lines_of()
    poll = Connection(0, "poll", "vehicle", "due", "10.1.1.100", 0.0, 0.0)
    log.note(1.0, Note("https_fallback", -1), None)
    log.note(1.5, Note("ready", 3, "poll"), poll)
    assert log.ended(2.0, poll, "done") == "done"
    assert lines == [(1.0, "MQTT is down, switching to HTTPS polling")]


def test_a_connection_that_ends_because_somebody_else_has_its_client_id_was_taken_over():
    own = ("10.1.1.100", 40_000)
    strangers = Strangers("vehicle-VIN123", own.__eq__)
    lines, log = lines_of(strangers=strangers)
    row = attempt(ready_s=1.0)
    log.ready(1.0, row)
    strangers.connected(visit("vehicle-VIN123", own, 0.9))  # itself
    strangers.connected(visit("another", ("10.1.1.100", 50_000), 2.0))
    assert strangers.came == []
    assert log.ended(3.0, attempt(ready_s=2.5), "closed") == "closed"
    strangers.connected(visit("vehicle-VIN123", ("10.1.1.100", 50_001), 4.0))
    assert log.ended(4.1, row, "keep_alive") == "keep_alive"  # its own doing
    assert log.ended(4.1, row, "closed") == "taken_over"
    assert lines[-1] == (4.1, "Connection lost: another client connected with this client id, from 10.1.1.100:50001")
    assert log.ended(9.0, attempt(ready_s=5.0), "closed") == "closed"  # came before this connection was made
    assert strangers.came[0].in_words() == (
        "At 4.000 s another client connected from 10.1.1.100 with the vehicle's client id, with clean session, which ends the"
        " vehicle's session: it took the connection over, and the vehicle's was closed."
    )


def test_rows_that_were_read_afterwards_make_the_same_lines():
    first, second = attempt(ready_s=1.0, session=0), attempt(ready_s=6.0)
    first.noticed_s, first.reason = 5.0, "not_observed"
    lines, log = lines_of()
    replay([first, second], log)
    assert [text.split(",")[0] for _, text in lines] == [
        "Connected successfully from 10.1.1.100",
        "Connection lost: the client ended it",
        "Reconnected successfully from 10.1.1.100",
    ]


def test_a_line_has_both_clocks_and_is_there_at_once(tmp_path):
    log = LogFile(tmp_path / "live.log")
    log.line("hybrid", datetime(2026, 11, 24, 22, 51, 3, 123_000, UTC), 20.3311, "Reconnected successfully")
    expected = "2026-11-24T22:51:03.123+00:00    20.331 s  hybrid: Reconnected successfully\n"
    assert (tmp_path / "live.log").read_text() == expected
    log.close()
    log.line("hybrid", datetime(2026, 11, 24, tzinfo=UTC), 21.0, "after the end")  # a straggler does no harm
    assert (tmp_path / "live.log").read_text() == expected
