"""MQTT 5: whether it is spoken, what CONNACK says of the broker's limits, session expiry, the reason of a takeover."""

from __future__ import annotations

import asyncio

from sim.live.probe.client import NoAnswer, Peer, ProbeClient
from sim.live.probe.findings import Findings
from sim.live.probe.sessions import forget
from sim.protocols.mqtt_packets import SESSION_TAKEN_OVER, V5, Disconnect

_FOR_EVER_S = 4_294_967_295.0  # session expiry interval 0xFFFFFFFF (MQTT 5 3.1.2.11.2)
_CONNACK_OF_311 = b"\x20\x02\x00"  # two bytes: no property length, which one of MQTT 5 has
_EXPIRES_S = 2.0
FIELDS = ("receive_maximum", "topic_alias_maximum", "takeover_reason", "session_expiry_max_s", "packet_limit_bytes")


async def version5(peer: Peer) -> Findings:
    """Connect with MQTT 5 and read what the CONNACK says."""
    found = Findings()
    client = ProbeClient(peer, "v5", V5)
    try:
        connack = await client.connect(session_expiry_s=_FOR_EVER_S)
    except NoAnswer as refused:
        closed = client.closed
        client.drop()
        if client.undecoded.startswith(_CONNACK_OF_311):
            return _not_spoken(found, "connack", f"CONNACK of 3.1.1 with return code {client.undecoded[3]}")
        return _not_spoken(found, "close" if closed else "silence", str(refused))
    if connack.code:
        client.drop()
        return _not_spoken(found, "connack", f"CONNACK with code {connack.code}")
    try:
        found.seen["mqtt5"] = True
        said = connack.properties or {}
        found.notes.append("MQTT 5 CONNACK: " + (", ".join(f"{name} {value}" for name, value in said.items()) or "no properties"))
        found.seen["receive_maximum"] = said.get("receive_maximum", 65535)
        found.seen["topic_alias_maximum"] = said.get("topic_alias_maximum", 0)
        if "maximum_qos" in said:
            found.seen["qos_max"] = said["maximum_qos"]
        granted_s = float(said.get("session_expiry_interval", _FOR_EVER_S))
        found.seen["session_expiry_max_s"] = granted_s if granted_s < _FOR_EVER_S else float("inf")
        if "maximum_packet_size" in said:
            found.seen["packet_limit_bytes"] = said["maximum_packet_size"]
        else:
            found.not_observed["packet_limit_bytes"] = "CONNACK names no maximum packet size"
        await _taken_over(peer, client, found)
    finally:
        client.drop()
    await _expires(peer, found)
    return found


def _not_spoken(found: Findings, refusal: str, text: str) -> Findings:
    found.seen["mqtt5"] = False
    found.seen["mqtt5_refusal"] = refusal
    found.notes.append(f"MQTT 5 is not spoken: {text}")
    for name in FIELDS:
        found.not_observed[name] = "MQTT 5 is not spoken"
    return found


async def _taken_over(peer: Peer, old: ProbeClient, found: Findings) -> None:
    """A live connection is taken over: is there a DISCONNECT with the reason before the FIN?"""
    new = ProbeClient(peer, "v5", V5)
    try:
        await new.connect(clean=True)
        try:
            said = await old.expect(Disconnect, 2.0)
        except NoAnswer:
            found.seen["takeover_reason"] = False
        else:
            found.seen["takeover_reason"] = said.code == SESSION_TAKEN_OVER
            found.notes.append(f"a connection that is taken over gets DISCONNECT with 0x{said.code:02X}")
    finally:
        new.drop()


async def _expires(peer: Peer, found: Findings) -> None:
    """A session with an expiry of 2 s: gone after 4 s?"""
    first, again = (ProbeClient(peer, "v5-expiry", V5) for _ in range(2))
    try:
        await first.connect(session_expiry_s=_EXPIRES_S)
        await first.subscribe(peer.topic("v5-expiry"), 1)
        first.drop()
        await asyncio.sleep(2 * _EXPIRES_S)
        connack = await again.connect(session_expiry_s=0.0)
        kept = "still there" if connack.session_present else "gone"
        found.notes.append(f"a session with an expiry of {_EXPIRES_S:.0f} s is {kept} after {2 * _EXPIRES_S:.0f} s")
    finally:
        first.drop()
        again.drop()
        await forget(peer, "v5-expiry")
