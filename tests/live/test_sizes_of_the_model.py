"""Every MQTT packet that the model sends has the size it would have as bytes: the codec is the judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import machine
from sim.live.mqtt_codec import encode
from sim.model.network import Network
from sim.protocols.broker_presets import Broker
from sim.protocols.mqtt_packets import V311, Connect, ControlPacket, Publish
from sim.strategies.config import MQTTPersistent
from sim.strategies.workload import OTA, Diagnostics, Telemetry
from tests.model.runs import NOTHING_TO_SEND, PLAIN, reassigned, run


@pytest.mark.skipif(
    not machine.__file__.endswith(".py"), reason="a method of a compiled class cannot be watched: HANDOVER_LAB_PURE=1"
)
@pytest.mark.parametrize("version", ["3.1.1", "5"])
@given(
    qos=st.integers(0, 2), chunk=st.integers(1, 40_000), every_s=st.sampled_from([0.7, 3.0]), expire=st.booleans(),
    clean=st.booleans(), preset=st.sampled_from(["spec", "mosquitto", "emqx", "aws_iot"]), at_s=st.integers(5, 30),
    receive_maximum=st.integers(1, 30),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_the_size_of_a_packet_is_that_of_its_bytes(version, qos, chunk, every_s, expire, clean, preset, at_s, receive_maximum):
    versions: dict[int, int] = {}
    seen: Counter[str] = Counter()
    send = Network.send

    def checked(self, transport, up, packet, now):
        if isinstance(packet, ControlPacket | Publish):
            if isinstance(packet, Connect):
                versions[id(transport)] = packet.version
            assert packet.encoded_size == len(encode(packet, versions.get(id(transport), V311))), packet
            seen[type(packet).__name__] += 1
        return send(self, transport, up, packet, now)

    workload = replace(
        NOTHING_TO_SEND,
        ota=OTA(chunk_bytes=chunk, image_bytes=chunk * 8, every_s=every_s, qos=qos),
        diagnostics=Diagnostics(every_s=4.0, qos=qos, expire=expire, timeout_s=3.0),
        telemetry=Telemetry(every_s=5.0, qos=qos),
    )
    config = MQTTPersistent(version=version, clean_session=clean, receive_maximum=receive_maximum, keep_alive_s=6.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "send", checked)
        run(reassigned(float(at_s), 60.0), config, workload, server=replace(PLAIN, broker=Broker(preset=preset)), drain_s=20.0)
    assert {"Connect", "ConnAck", "Publish", "Subscribe", "SubAck", "PingReq", "PingResp"} <= seen.keys()
