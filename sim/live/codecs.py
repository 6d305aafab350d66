"""Which protocol is spoken at which port, and the MQTT codec with the lab's own payloads in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from sim.live.brokers import Login
from sim.live.http_codec import HTTPCodec
from sim.live.http_limits import HTTPLimits
from sim.live.mqtt_codec import Decoder, encode
from sim.live.payload import decode_message, encode_message
from sim.live.wire import Codec
from sim.protocols.mqtt_packets import V5, V311, Connect, Publish
from sim.protocols.server import Server


class MQTTCodec(Codec):
    """MQTT packets with application messages as payloads. `version`: of a client's end; a server's end learns it from CONNECT."""

    def __init__(self, version: int | None, *, reads_uplink: bool, login: Login | None = None) -> None:
        """`login`: what a real broker wants to see in CONNECT; the machines know of no passwords."""
        self._decoder = Decoder(version, lenient=version is not None)
        self._version = version
        self._reads_uplink = reads_uplink
        self._login = login

    def encode(self, packet: Any) -> bytes:
        if self._login is not None and isinstance(packet, Connect):
            packet = dataclasses.replace(packet, username=self._login.username, password=self._login.password)
        if isinstance(packet, Publish) and packet.message.body is None:
            packet = dataclasses.replace(packet, message=dataclasses.replace(packet.message, body=encode_message(packet.message)))
        version = self._version or self._decoder.version or V311
        return encode(packet, version)

    def feed(self, data: bytes) -> list[Any]:
        return [self._with_message(packet) if isinstance(packet, Publish) else packet for packet in self._decoder.feed(data)]

    def _with_message(self, packet: Publish) -> Publish:
        wire = packet.message
        message = decode_message(wire.topic, bytes(wire.body or b""), packet.qos, wire.created_s, uplink=self._reads_uplink)
        return dataclasses.replace(packet, message=message)


class Ports:
    """Codecs by port, for both sides of one vehicle's run."""

    def __init__(self, server: Server, vehicle_port: int, vehicle_host: str, version: str) -> None:
        self._server = server
        self._vehicle_port = vehicle_port
        self._vehicle_host = vehicle_host
        self._version = V5 if version == "5" else V311
        self.login: Login | None = None  # of the broker that runs
        self._at_vehicle, self._at_server = HTTPLimits(), HTTPLimits()

    def of_vehicle(self, port: int, accepted: bool) -> Codec:
        """What the vehicle speaks on a connection to `port`, or on one accepted at it."""
        if accepted:
            return HTTPCodec("server", self._vehicle_host, reads_uplink=False, limits=self._at_vehicle)
        if port == self._server.mqtt_port:
            return MQTTCodec(self._version, reads_uplink=False, login=self.login)
        return HTTPCodec("client", self._server.name, reads_uplink=False)

    def of_server(self, port: int, accepted: bool) -> Codec:
        """The same for the server; port 0 is its own connection to a broker."""
        if port == 0:
            return MQTTCodec(V311, reads_uplink=True, login=self.login)
        if accepted and port == self._server.mqtt_port:
            return MQTTCodec(None, reads_uplink=True)
        if accepted:
            return HTTPCodec("server", self._server.name, reads_uplink=True, limits=self._at_server)
        return HTTPCodec("client", self._vehicle_host, reads_uplink=True)
