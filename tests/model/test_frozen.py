"""Inputs, actions, packets and messages are not changed after construction: whole runs with all of them frozen."""

import dataclasses
import inspect
import typing
from dataclasses import replace

import pytest

from sim import machine
from sim.protocols import http, mqtt_packets
from sim.protocols.broker_presets import Broker
from sim.protocols.tls import TLS
from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTCleanSession, MQTTPersistent, StaticPush
from sim.strategies.workload import OTA, Diagnostics, Probes, Telemetry, Workload
from tests.model.runs import PLAIN, Row, drive, run

RECORDS = [
    *typing.get_args(machine.Input),
    *typing.get_args(machine.Action),
    machine.Message,
    *(kind for _, kind in inspect.getmembers(mqtt_packets, dataclasses.is_dataclass) if kind.__module__ == mqtt_packets.__name__),
    http.HTTPRequest,
    http.HTTPResponse,
]
EVERYTHING = Workload(
    ota=OTA(chunk_bytes=20_000, image_bytes=400_000, every_s=5.0, qos=2),
    diagnostics=Diagnostics(every_s=15.0),
    telemetry=Telemetry(every_s=4.0),
    probes=Probes(),
)
WINDOW = replace(EVERYTHING, ota=OTA(chunk_bytes=20_000, image_bytes=400_000, window=3))
BUMPY = drive(
    Row(0.0, rtt_s=0.08, up_bps=1e6, down_bps=1e6),
    Row(40.0, -1, rtt_s=0.08),
    Row(42.0, 1, rtt_s=0.3, up_bps=1e5, down_bps=1e5),
    Row(90.0, 0, rtt_s=0.08),
    end_s=150.0,
)
STRATEGIES = {
    "mqtt_persistent": MQTTPersistent(),
    "mqtt_clean_session": MQTTCleanSession(version="5", address_watch="link_event"),
    "hybrid": Hybrid(keep_alive_s=10.0, poll_s=10.0, uplink="post"),
    "ddns_heartbeat": DDNSHeartbeat(),
    "static_push": StaticPush(),
}

pytestmark = pytest.mark.skipif(
    not machine.__file__.endswith(".py"), reason="compiled classes cannot be frozen: HANDOVER_LAB_PURE=1"
)


@pytest.fixture
def frozen(monkeypatch):
    """Every class of RECORDS refuses assignments once its own __init__ is over."""
    begun: set[int] = set()

    def freeze(kind: type) -> None:
        construct = kind.__init__

        def construct_and_close(self, *args, **kwargs):
            begun.add(id(self))
            construct(self, *args, **kwargs)
            begun.discard(id(self))

        def refuse(self, name, value):
            if id(self) not in begun:
                raise dataclasses.FrozenInstanceError(f"{kind.__name__}.{name} was changed after construction")
            object.__setattr__(self, name, value)

        monkeypatch.setattr(kind, "__init__", construct_and_close)
        monkeypatch.setattr(kind, "__setattr__", refuse)

    for kind in RECORDS:
        freeze(kind)


def test_a_frozen_record_refuses(frozen):
    with pytest.raises(dataclasses.FrozenInstanceError):
        machine.AddressChanged("10.1.1.100").address = None
    assert len(RECORDS) > 30


@pytest.mark.parametrize("workload", [EVERYTHING, WINDOW], ids=["by the clock", "window"])
@pytest.mark.parametrize("preset", ["mosquitto", "emqx"])
@pytest.mark.parametrize("use", STRATEGIES)
def test_a_whole_run_changes_none_of_its_inputs_actions_and_packets(frozen, use, preset, workload):
    server = replace(PLAIN, tls=TLS(), broker=Broker(preset=preset))
    seen = run(BUMPY, STRATEGIES[use], workload, use=use, server=server, access="private_apn", drain_s=30.0)
    assert any(outcome == "delivered" for outcome, _ in seen.outcomes)
