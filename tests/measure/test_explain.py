import polars as pl
import pytest

from sim.measure.explain import ExplainError, explain
from sim.measure.summary import metrics
from sim.record.read import Run

from .records import connection, message, run_of, table, vehicle
from .synthetic import synthetic_run, write_run


def message_flow(**more: pl.DataFrame) -> Run:
    """The seed's timeline: the address ends at 15 s, chunk 3 of 16 s arrives at 20.1 s."""
    path = ((0.0, "10.1.1.100", "up"), (15.0, "", "lost"), (17.0, "10.2.5.200", "up"))
    up = {"address": "10.1.1.100", "path_end_s": 15.0, "noticed_s": 17.0, "reason": "address", "trigger": "start"}
    again = {"address": "10.2.5.200", "trigger": "address", "opened_s": 18.0, "connack_s": 18.9, "outcome": "open"}
    return run_of(
        {
            "vehicles": table("vehicles", vehicle(horizon_s=60.0, end_s=30.0)),
            "timeline": table(
                "timeline", *({"start_s": start, "address": address, "link": link} for start, address, link in path)
            ),
            "disruptions": table(
                "disruptions",
                {"kind": "reassignment", "start_s": 15.0, "end_s": 17.0, "before": "10.1.1.100", "after": "10.2.5.200"},
            ),
            "connections": table(
                "connections", connection(0, "mqtt", 0.0, 1.0, **up), connection(1, "mqtt", 17.0, 18.9, **again)
            ),
            "messages": table(
                "messages",
                message(4, 5.0, 5.1),
                message(5, 10.0, 10.1),
                message(6, 16.0, 20.1, sends=2),
                message(7, 25.0, None, "queue_full", gone_s=25.0, first_sent_s=None),
                message(8, 26.0, first_sent_s=None),
            ),
            "states": table("states", {"time_s": 17.0, "machine": "vehicle", "state": "address_noticed", "detail": "link event"}),
            **more,
        }
    )


def test_the_chain_of_the_third_chunk() -> None:
    assert explain(message_flow(), "ota:3").splitlines() == [
        "s: message 6 (ota, 1000 bytes, QoS 1) of vehicle 0 in drive 0: delivered after 4.100 s",
        "      15.000 s  the address 10.1.1.100 ends",
        "      16.000 s  created at the server",
        "      16.000 s  sent on a dead transport (its path ended at 15.000 s)",
        "      17.000 s  the vehicle has the address 10.2.5.200",
        "      17.000 s  the vehicle sees the change of its address (link event)",
        "      17.000 s  the vehicle gives the connection up by its watch on the address",
        "      17.000 s  the vehicle connects from 10.2.5.200 (address)",
        "      18.000 s  CONNECT",
        "      18.900 s  CONNACK, session present",
        "      20.100 s  redelivered to the vehicle's application over MQTT",
    ]


def test_an_id_and_a_number_find_the_same_message() -> None:
    assert (
        explain(message_flow(), 6)
        == explain(message_flow(), "6", strategy="s", replication=0)
        == explain(message_flow(), "ota:3")
    )


def test_lost_and_pending() -> None:
    assert "25.000 s  lost, queue_full: the broker's session queue" in explain(message_flow(), "7")
    assert "60.000 s  still pending at the end of the run, never sent" in explain(message_flow(), "8")


def test_the_trace_adds_packets_that_the_rows_do_not_tell() -> None:
    rows = [
        {
            "time_s": 16.0,
            "serial": 1,
            "source": "broker",
            "kind": "send_packet",
            "transport": 1,
            "message": 6,
            "detail": "PUBLISH qos 1",
        },
        {
            "time_s": 20.0,
            "serial": 2,
            "source": "broker",
            "kind": "send_packet",
            "transport": 2,
            "message": 6,
            "detail": "PUBLISH qos 1 dup",
        },
        {"time_s": 20.1, "serial": 3, "source": "vehicle", "kind": "deliver", "transport": -1, "message": 6, "detail": ""},
        {
            "time_s": 20.1,
            "serial": 4,
            "source": "vehicle",
            "kind": "send_packet",
            "transport": 2,
            "message": -1,
            "detail": "PINGREQ",
        },
    ]
    text = explain(message_flow(trace=table("trace", *rows)), "6")
    assert "20.000 s  the broker sends on transport 2: PUBLISH qos 1 dup" in text
    assert text.count("the broker sends") == 1
    assert "PINGREQ" not in text


def test_a_long_row_of_failed_attempts_is_shortened() -> None:
    run = message_flow()
    failures = [connection(number, "mqtt", 30.0 + number, noticed_s=30.5 + number, reason="timed_out") for number in range(2, 22)]
    more = table("connections", connection(0, "mqtt", 0.0, 1.0, path_end_s=15.0, noticed_s=31.0, reason="keep_alive"), *failures)
    text = explain(message_flow(connections=more), "8")
    assert run.connections.height == 2
    assert text.count("that fails: timed out") == 4
    assert "16 more attempts fail, until 50.500 s" in text


def test_all_strategies_of_a_folder(tmp_path) -> None:
    folder = write_run(synthetic_run(2), tmp_path / "run")
    text = explain(folder, "ota:42", replication=1)
    heads = [line.split(":")[0] for line in text.splitlines() if line and not line.startswith(" ")]
    assert heads == list(metrics(synthetic_run(2))["strategies"])
    assert "handover from T0 to T" in text


@pytest.mark.parametrize(
    ("message_id", "options", "why"),
    [
        ("99", {}, "s has no message 99; it has ids 4 to 8, or ota:1 to ota:5"),
        ("ota:6", {}, "s has no message ota:6"),
        ("ota:0", {}, "s has no message ota:0"),
        ("third", {}, "s has no message third"),
        ("6", {"strategy": "t"}, "no strategy t; it has s"),
        ("6", {"replication": 1}, "no vehicle 0 in drive 1; drives run from 0 to 0"),
    ],
)
def test_what_is_not_there(message_id: str, options: dict, why: str) -> None:
    with pytest.raises(ExplainError, match=why):
        explain(message_flow(), message_id, **options)


# --- what the broker's session did ----------------------------------------------------------------------------------------


def test_a_later_copy_does_not_make_the_first_hand_over_a_second_one() -> None:
    """The PUBACK was lost: the message had arrived by its first copy, the second one comes after it."""
    text = explain(message_flow(messages=table("messages", message(1, 14.0, 14.5, sends=2, arrivals=2, uplink=True))), "1")
    assert "14.500 s  delivered to the vehicle's application over MQTT" in text
    assert "redelivered" not in text


def test_the_trace_tells_which_copy_arrived_first() -> None:
    sent = {"source": "vehicle", "kind": "send_packet", "transport": 2, "message": 1}
    messages = table("messages", message(1, 16.0, 20.0, sends=2, arrivals=2))
    before = table("trace", {**sent, "time_s": 16.0}, {**sent, "time_s": 19.0, "serial": 1})
    after = table("trace", {**sent, "time_s": 16.0}, {**sent, "time_s": 21.0, "serial": 1})
    assert "20.000 s  redelivered" in explain(message_flow(messages=messages, trace=before), "1")
    assert "20.000 s  delivered" in explain(message_flow(messages=messages, trace=after), "1")


@pytest.mark.parametrize("states", [True, False])
def test_what_was_queued_is_sent_on_the_new_connection(states: bool) -> None:
    """The broker sends it when it has accepted CONNECT, before the vehicle has the CONNACK."""
    entered = [{"time_s": 18.4, "machine": "server", "state": "session_accepting"}] if states else []
    flow = message_flow(messages=table("messages", message(1, 17.5, 19.5, first_sent_s=18.5)), states=table("states", *entered))
    lines = explain(flow, "1").splitlines()
    assert "      18.500 s  sent" in lines
    assert "      18.900 s  CONNACK, session present" in lines


def test_what_is_sent_before_the_broker_knows_of_the_new_connection_goes_to_the_old_one() -> None:
    text = explain(message_flow(messages=table("messages", message(1, 17.5, 19.5, first_sent_s=18.1, sends=2))), "1")
    assert "18.100 s  sent on a dead transport (its path ended at 15.000 s)" in text
    assert "19.500 s  redelivered" in text


def _with_broker(states: list[tuple[float, str]], row: dict, settings: dict, **behaviour: object) -> str:
    flow = message_flow(
        messages=table("messages", row),
        states=table("states", *({"time_s": at, "machine": "server", "state": state} for at, state in states)),
    )
    flow.manifest["presets"] = [{"preset": "amqtt", "behaviour": {"takeover_deaf": False, **behaviour}}]
    flow.manifest["strategies"][0]["config"] = {"keep_alive_s": 30.0, **settings}
    return explain(flow, "1")


def test_a_connection_that_is_deaf_after_a_takeover_is_named() -> None:
    states = [(18.4, "session_taken_over"), (18.4, "session_accepting"), (18.4, "session_connected")]
    said = "18.400 s  the new connection takes over; amqtt sends nothing on it until the next one"
    pending = message(1, 25.0, first_sent_s=None)
    assert said in _with_broker(states, pending, {}, takeover_deaf=True)
    assert said not in _with_broker(states, pending, {}, takeover_deaf=False)
    assert said not in _with_broker([*states, (20.0, "session_accepting")], pending, {}, takeover_deaf=True)
    assert said not in _with_broker(states, message(1, 25.0, 25.1, uplink=True, kind="telemetry"), {}, takeover_deaf=True)


def test_the_instant_at_which_the_session_ended_is_named() -> None:
    states = [(16.0, "session_offline"), (17.0, "session_ended"), (40.0, "session_accepting")]
    lost = message(1, 16.5, None, "session_expired", gone_s=17.0, first_sent_s=None)
    lines = _with_broker(states, lost, {}).splitlines()
    assert [line for line in lines if "session" in line][1:] == [
        "      17.000 s  the session expires in the broker",
        "      17.000 s  lost, session_expired: the MQTT session expired with the message in it",
    ]
    assert "      16.000 s  the broker takes the vehicle for gone" in lines
    nobody = message(1, 20.0, None, "no_subscription", gone_s=20.0, first_sent_s=None)
    assert "17.000 s  the broker discards the session" in _with_broker(states, nobody, {"clean_session": True})
    assert "session" not in _with_broker(states, message(1, 41.0, 41.5), {}).partition("\n")[2]


def test_of_a_real_broker_the_end_of_the_session_is_inferred() -> None:
    behaviour = {
        "keep_alive_rule": "exact", "keep_alive_factor": 1.5, "keep_alive_tick_s": 0.0, "keep_alive_checks": 0,
        "session_expiry_default_s": 10.0, "session_expiry_max_s": 1e9, "discards_after_disconnect": False, "qos_max": 2,
    }  # fmt: skip
    lost = message(1, 57.0, None, "session_expired", first_sent_s=None)
    flow = message_flow(messages=table("messages", lost), states=table("states"))
    flow.manifest["presets"] = [{"preset": "mosquitto", "behaviour": {"takeover_deaf": False, **behaviour}}]
    flow.manifest["strategies"][0]["config"] = {"keep_alive_s": 2.0, "version": "3.1.1"}
    ended = table("connections", connection(0, "mqtt", 0.0, 1.0, path_end_s=15.0, noticed_s=17.0, connack_s=1.0, opened_s=0.5))
    flow = Run(flow.manifest, {**flow._frames, "connections": ended})
    text = explain(flow, "1")
    assert "the session expires in the broker (inferred)" in text
    assert "the MQTT session expired with the message in it (when is not known)" in text
