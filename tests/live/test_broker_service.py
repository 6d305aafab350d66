"""The served broker against clients of others, many at once, slow, silent, malicious."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sim.live.broker_service import BrokerService, CannotListen
from sim.live.mqtt_codec import encode
from sim.machine import Drop, Message, Note
from sim.protocols.broker_presets import PRESETS
from sim.protocols.mqtt_packets import V5, V311, ConnAck, Connect, Disconnect, PingReq, Publish, SubAck, Subscribe, Will
from tests.live.served import served_broker
from tests.live.wire_client import WireClient, connected, connected5

PAHO_VERSIONS = {V311: paho.MQTTv311, V5: paho.MQTTv5}


@pytest.fixture(scope="module")
def port():
    with served_broker() as service:
        yield service.port


def serves_still(port: int) -> None:
    """A client connects, subscribes and gets its message."""
    client = connected(port, "still")
    client.subscribe("still")
    client.publish("still", b"served", 1)
    client.expect_payloads(b"served")
    client.disconnect()


# --- other people's clients ---------------------------------------------------------------------------------------------


class Paho:
    """paho with its thread; `messages` are what came."""

    def __init__(self, port: int, client_id: str, version: int, **connect) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self.disconnects: list = []
        self._ready = threading.Event()
        self._arrived = threading.Condition()
        more = {"clean_session": connect.pop("clean", True)} if version == V311 else {}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=PAHO_VERSIONS[version], **more)
        self.client.on_connect = lambda *_: self._ready.set()
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnects.append(code)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port, **connect)
        self.client.loop_start()
        self._wait()

    def _wait(self) -> None:
        assert self._ready.wait(5)
        self._ready.clear()

    def _on_message(self, _client, _data, message: paho.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify()

    def subscribe(self, name: str, qos: int = 2) -> None:
        self.client.subscribe(name, qos)
        self._wait()

    def publish(self, name: str, body: bytes, qos: int, **more) -> None:
        self.client.publish(name, body, qos, **more).wait_for_publish(5)

    def wait_for(self, n: int) -> list[paho.MQTTMessage]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= n, 10), self.messages
        return self.messages

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.parametrize("version", [V311, V5])
def test_paho_publishes_and_receives_with_each_quality_of_service(port, version):
    with Paho(port, f"paho-{version}", version) as client:
        client.subscribe(f"paho/{version}/#")
        for qos in (0, 1, 2):
            for n in range(30):
                client.publish(f"paho/{version}/{qos}", b"%d" % n, qos)
        messages = client.wait_for(90)
    for qos in (0, 1, 2):
        of_qos = [message for message in messages if message.qos == qos]
        assert [message.payload for message in of_qos] == [b"%d" % n for n in range(30)]


def test_paho_with_mqtt_5_properties(port):
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "answers"
    properties.CorrelationData = b"7"
    properties.UserProperty = [("a", "b"), ("a", "c")]
    properties.MessageExpiryInterval = 100
    with Paho(port, "paho-properties", V5) as client:
        client.subscribe("paho/properties")
        client.publish("paho/properties", b"?", 1, properties=properties)
        (message,) = client.wait_for(1)
    assert message.properties.ResponseTopic == "answers"
    assert message.properties.CorrelationData == b"7"
    assert message.properties.UserProperty == [("a", "b"), ("a", "c")]
    assert 98 <= message.properties.MessageExpiryInterval <= 100


def test_paho_resumes_its_session(port):
    with Paho(port, "paho-resumes", V311, clean=False) as client:
        client.subscribe("paho/resumes")
    connected(port, "paho-publisher").publish("paho/resumes", b"kept", 1)
    with Paho(port, "paho-resumes", V311, clean=False) as client:
        assert client.wait_for(1)[0].payload == b"kept"


def test_paho_is_told_of_a_takeover(port):
    with Paho(port, "paho-taken", V5) as client:
        client.client.reconnect_delay_set(30, 30)
        connected5(port, "paho-taken")
        until_s = time.monotonic() + 5
        while not client.disconnects and time.monotonic() < until_s:
            time.sleep(0.02)
        assert client.disconnects[0].value == 0x8E


@pytest.mark.broker
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_clients(port, version):
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto-clients is not installed: make deps")
    topic = f"clients/{version}"
    words = ["-h", "127.0.0.1", "-p", str(port), "-V", version, "-t", topic, "-q", "2"]
    subscriber = subprocess.Popen(["mosquitto_sub", *words, "-C", "3", "-W", "10"], stdout=subprocess.PIPE)
    watcher = connected(port, f"watcher-{version}")
    watcher.subscribe(topic)
    for n in range(3):
        subprocess.run(["mosquitto_pub", *words, "-r", "-m", str(n)], check=True, timeout=10)
    watcher.expect_payloads(b"0", b"1", b"2")
    out, _ = subscriber.communicate(timeout=15)
    assert out.split()[-1] == b"2"
    subprocess.run(["mosquitto_pub", *words, "-r", "-n"], check=True, timeout=10)


# --- connections that come and go -----------------------------------------------------------------------------------------


def test_a_client_that_falls_silent_is_given_up_by_its_keep_alive(port):
    """Half-open: nothing is said, nothing is closed; the broker notices after 1.5 keep alives, the will goes out."""
    watcher = connected(port, "silence-watcher")
    watcher.subscribe("silence")
    silent = connected5(port, "silent", keep_alive_s=1, will=Will("silence", 4, 1, payload=b"dead"))
    started_s = time.monotonic()
    watcher.expect_payloads(b"dead")
    assert 1.4 < time.monotonic() - started_s < 2.4
    assert silent.refused_with() == 0x8D


@pytest.mark.parametrize(("version", "code"), [(V311, None), (V5, 0x8E)])
def test_a_takeover_closes_the_old_connection_and_keeps_the_session(port, version, code):
    more = {"session_expiry_s": 60.0} if version == V5 else {}
    old = connected(port, f"taken-{version}", version, clean=False, acknowledges=False, **more)
    old.subscribe(f"taken/{version}")
    connected(port, "taken-publisher").publish(f"taken/{version}", b"again", 1)
    old.expect(Publish)
    new = connected(port, f"taken-{version}", version, clean=False, **more)
    assert new.connack is not None
    assert new.connack.session_present
    assert new.expect(Publish).dup
    assert old.refused_with() == code


def test_a_transport_without_connect_is_closed():
    """MQTT 5 3.1.4: within a reasonable amount of time."""
    with served_broker(connect_timeout_s=0.3) as service:
        silent, talker = WireClient(service.port), connected(service.port, "talker")
        started_s = time.monotonic()
        silent.wait_until_closed(2.0)
        assert 0.2 < time.monotonic() - started_s < 1.5
        assert talker.quiet() == []
        assert not talker.closed
        assert service.machine.next_deadline() > 10.0


def test_connections_are_limited_and_free_again():
    with served_broker(connections=5) as service:
        clients = [connected(service.port, f"one of {i}") for i in range(5)]
        sixth = WireClient(service.port)
        sixth.wait_until_closed()
        assert service.open_connections == 5
        clients[0].disconnect()
        serves_still(service.port)


def test_sessions_and_subscriptions_are_limited():
    with served_broker(sessions=3, subscriptions=2, filter_levels=4) as service:
        clients = [connected5(service.port, f"s{i}", session_expiry_s=60.0) for i in range(3)]
        WireClient(service.port, V5).connect("s3", expects=0x97)
        WireClient(service.port).connect("s4", expects=3)
        assert clients[0].subscribe("a", "b", "c", "a") == (2, 2, 0x97, 2)
        clients[0].unsubscribe("a")
        assert clients[0].subscribe("c/c/c/c/c", "c") == (0x97, 2)
        clients[1].disconnect(properties={"session_expiry_interval": 0})
        connected5(service.port, "s5")


def test_the_session_of_a_client_that_is_gone_is_forgotten(port):
    with served_broker() as service:
        for i in range(20):
            connected(service.port, f"gone{i}").disconnect()
        time.sleep(0.1)
        assert service.machine.session("gone7") is None


def test_pipelined_packets_are_answered_in_order(port):
    """[MQTT-3.2.0-1]: CONNACK first; clients may send before they have it (3.1.4)."""
    client = WireClient(port)
    message = Message(0, "other", "pipelined", 1, 0, 0.0, body=b"m")
    packets = [Connect("pipelined", True, 60), Subscribe(1, (("pipelined", 0),)), Publish(message, 0), PingReq(), Disconnect()]
    client.send_bytes(b"".join(encode(packet, V311) for packet in packets))
    client.wait_until_closed()
    assert [type(packet).__name__ for packet in client.received] == ["ConnAck", "SubAck", "Publish", "PingResp"]


def test_bytes_may_come_one_by_one(port):
    client = WireClient(port)
    for byte in encode(Connect("drop by drop", True, 60), V311) + encode(Subscribe(1, (("a", 0),)), V311):
        client.send_bytes(bytes((byte,)))
    client.expect(ConnAck)
    client.expect(SubAck)


# --- those that mean no good ------------------------------------------------------------------------------------------------


def test_a_client_that_reads_nothing_is_bounded_and_disturbs_nobody():
    """It gets what fits; QoS 0 beyond that is dropped, with a record."""

    class Recorder:
        def __init__(self) -> None:
            self.causes: list[str] = []

        def record(self, now: float, action: Drop | Note) -> None:
            if isinstance(action, Drop):
                self.causes.append(action.cause)

    recorder = Recorder()
    with served_broker(recorder=recorder) as service:
        deaf, hears = connected(service.port, "deaf"), connected(service.port, "hears")
        deaf.subscribe(("flood", 0))
        hears.subscribe(("flood", 0))
        publisher = connected(service.port, "publisher")
        for n in range(200):
            publisher.publish("flood", b"%d" % n + bytes(100_000), 0)
            assert hears.expect(Publish).message.size_bytes > 100_000
        publisher.publish("elsewhere", qos=1)
        assert "queue_full" in recorder.causes
        connection = service._open[1]
        assert connection.unsent_bytes < 1_000_000
        serves_still(service.port)


def test_acknowledgements_for_a_client_that_reads_nothing_do_not_fill_the_memory():
    """Requests whose answers are never read: the connection is lost when its buffer is full."""
    with served_broker() as service:
        client = WireClient(service.port)
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(Connect("greedy", True, 60))
        message = Message(0, "other", "greedy", 50_000, 0, 0.0, body=bytes(50_000))
        client.send(Publish(message, 0, retain=True))
        for n in range(1, 1500):
            client.send(Subscribe(n, (("greedy", 0),)))
        time.sleep(0.3)
        assert sum(one.unsent_bytes for one in service._all) < 33_000_000
        serves_still(service.port)


def test_a_payload_above_the_limit_is_refused(port):
    client = connected5(port, "large")
    assert client.connack is not None
    limit = (client.connack.properties or {})["maximum_packet_size"]
    client.send_bytes(b"\x30" + bytes((0x80 | 0x7F, 0x80 | 0x7F, 0x80 | 0x7F, 0x7F)))
    assert client.refused_with() == 0x95
    assert limit < 268_435_455


def test_partial_packets_are_bounded_together(monkeypatch):
    import sim.live.broker_service as module

    monkeypatch.setattr(module, "_BUFFERED_BYTES", 6_000_000)
    with served_broker() as service:
        clients = [connected(service.port, f"half {i}") for i in range(6)]
        for client in clients:
            client.send_bytes(b"\x30\x80\x80\xc0\x01" + bytes(2_000_000))  # 3 MiB are announced
        time.sleep(0.3)
        assert sum(one.partial_bytes for one in service._all) <= 6_500_000
        serves_still(service.port)


def _mutated(rng: random.Random, packets: list[bytes]) -> bytes:
    data = bytearray(b"".join(rng.choices(packets, k=rng.randint(1, 4))))
    for _ in range(rng.randint(1, 6)):
        kind = rng.random()
        at = rng.randrange(len(data))
        if kind < 0.5:
            data[at] = rng.randrange(256)
        elif kind < 0.75:
            del data[at : at + rng.randint(1, 5)]
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 5))
        if not data:
            return b"\0"
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_and_mutated_packets_never_kill_it(seed):
    """Each connection says something wrong, half of them after a good CONNECT; the broker serves on and nothing in it raised."""
    rng = random.Random(seed)
    message = Message(0, "other", "fuzz/a", 3, 1, 0.0, body=b"abc")
    with served_broker(connect_timeout_s=0.5) as service:
        for n in range(120):
            version = rng.choice([V311, V5])
            more = {"topic_alias": 1, "user_property": (("a", "b"),), "message_expiry_interval": 2} if version == V5 else None
            will = Will("fuzz/will", 1, 1, True, payload=b"w")
            expiry_s = 2.0 if version == V5 else None
            packets = [
                encode(packet, version)
                for packet in (
                    Connect(f"fuzz{n % 5}", rng.random() < 0.5, 60, version, session_expiry_s=expiry_s, will=will),
                    Publish(message, rng.randint(1, 2), rng.randint(1, 9), False, rng.random() < 0.3, version, more),
                    Subscribe(3, (("fuzz/#", rng.randint(0, 2)), ("$share/g/fuzz/+", 1)), version),
                    Disconnect(0, {"session_expiry_interval": 3} if version == V5 else None),
                    PingReq(),
                )
            ]
            packets += [bytes((first, 2, 0, rng.randint(1, 9))) for first in (0x40, 0x50, 0x62, 0x70)]
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", service.port), timeout=2) as peer:
                if rng.random() < 0.6:
                    peer.sendall(packets[0])
                peer.sendall(rng.randbytes(rng.randint(1, 300)) if rng.random() < 0.2 else _mutated(rng, packets))
                if rng.random() < 0.3:
                    peer.sendall(_mutated(rng, packets))
                if rng.random() < 0.5:
                    peer.settimeout(0.005)
                    with contextlib.suppress(TimeoutError):
                        peer.recv(65536)
        serves_still(service.port)


# --- the service itself -------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_line(port):
    with pytest.raises(CannotListen, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address already in use$"):
        asyncio.run(BrokerService(PRESETS["spec"][0], port=port).start())


def test_stopping_tells_the_clients():
    """MQTT 5: DISCONNECT 0x8B; a will goes out to who is still there."""
    with served_broker() as service:
        client, older = connected5(service.port, "told"), connected(service.port, "not told")
    assert client.refused_with() == 0x8B
    assert older.refused_with() is None


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_serves(preset):
    with served_broker(preset) as service:
        serves_still(service.port)


def test_a_second_service_on_the_same_port_after_the_first():
    with served_broker() as service:
        port = service.port
        connected(port, "a")

    async def again() -> None:
        second = BrokerService(PRESETS["spec"][0], port=port)
        await second.start()
        await second.stop()

    asyncio.run(again())


def test_a_publish_above_maximum_qos_is_refused():
    """MQTT 5 [MQTT-3.2.2-11]: 0x9B; with 3.1.1 there is no such answer, it is acknowledged as QoS 1 (brokers 2, RabbitMQ)."""
    with served_broker("aws_iot") as service:
        client = connected5(service.port, "a")
        assert client.connack is not None
        assert (client.connack.properties or {})["maximum_qos"] == 1
        client.publish("t", b"m", 2, wait=False)
        assert client.refused_with() == 0x9B
        WireClient(service.port, V5).connect("b", will=Will("t", 1, 2, payload=b"w"), expects=0x9B)
