"""The name server, with clients that are not ours: dnspython's queries and updates, dig and nsupdate where they are installed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("dns")

import dns.asyncquery
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import dns.tsig
import dns.update
import dns.xfr
import dns.zone

from sim.live.names.name_server import NameServer, NamesUnavailable, new_key
from sim.live.names.questions import NoAnswer, address_of
from sim.live.names.server_names import ServerNames
from sim.live.names.sockets import NameSockets
from sim.protocols.dns import DNS
from sim.protocols.server import Server

ZONE = "ota-server.company.com"
VEHICLE = f"vin123.vehicles.{ZONE}"
AT_ONCE = DNS(ttl_s=60.0, negative_ttl_s=7.0, propagation_s=0.0)
HOST = "127.0.0.1"


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def name_server(settings: DNS = AT_ONCE, now: Callable[[], float] | None = None) -> NameServer:
    return NameServer(Server(dns=settings), now or Time(), new_key())


@contextlib.asynccontextmanager
async def listening(names: NameServer) -> AsyncIterator[int]:
    sockets = NameSockets(names)
    await sockets.listen(HOST)
    try:
        yield sockets.port
    finally:
        sockets.stop()


def ask(names: NameServer, name: str, kind: str = "A", **more: Any) -> dns.message.Message:
    return tell(names, dns.message.make_query(name, kind, **more))


def tell(names: NameServer, message: dns.message.Message, *, udp: bool = True) -> dns.message.Message:
    wire = names.answer(message.to_wire(), udp=udp)
    assert wire is not None
    return dns.message.from_wire(wire, keyring=message.keyring, request_mac=message.mac)


def update(names: NameServer, **more: Any) -> dns.update.UpdateMessage:
    return dns.update.UpdateMessage(ZONE, keyring=names._key, **more)


def set_to(names: NameServer, address: str, ttl: int = 60) -> int:
    message = update(names)
    message.replace("vin123.vehicles", ttl, "A", address)
    return tell(names, message).rcode()


# --- queries ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ZONE, "OTA-Server.Company.COM", f"ns.{ZONE}", "ota-server.com"])
def test_the_server_has_its_address(name: str):
    said = ask(name_server(), name)
    assert said.rcode() == dns.rcode.NOERROR
    assert said.flags & dns.flags.AA
    assert not said.flags & dns.flags.RA
    (record,) = said.answer
    assert (record[0].address, record.ttl) == ("52.78.123.45", 60)


def test_soa_and_ns():
    names = name_server()
    (soa,) = ask(names, ZONE, "SOA").answer
    assert (soa[0].mname.to_text(), soa[0].minimum, soa.ttl) == (f"ns.{ZONE}.", 7, 7)
    said = ask(names, ZONE, "NS")
    assert said.answer[0][0].target.to_text() == f"ns.{ZONE}."
    assert said.additional[0][0].address == "52.78.123.45"
    assert {rrset.rdtype for rrset in ask(names, ZONE, "ANY").answer} == {1, 2, 6}
    before = soa[0].serial
    set_to(names, "10.2.5.200")
    assert ask(names, ZONE, "SOA").answer[0][0].serial > before


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        (VEHICLE, "A", "NXDOMAIN"),
        (f"x.{ZONE}", "A", "NXDOMAIN"),
        (ZONE, "AAAA", "NOERROR"),
        (ZONE, "TXT", "NOERROR"),
        ("company.com", "A", "REFUSED"),
        ("example", "A", "REFUSED"),
        (".", "NS", "REFUSED"),
        (f"x{ZONE}", "A", "REFUSED"),
        (ZONE, "AXFR", "REFUSED"),
        (ZONE, "IXFR", "REFUSED"),
    ],
)
def test_what_is_not_there(name: str, kind: str, rcode: str):
    said = ask(name_server(), name, kind)
    assert dns.rcode.to_text(said.rcode()) == rcode
    assert said.answer == []
    if rcode == "REFUSED":
        assert said.authority == []
    else:
        (soa,) = said.authority
        assert (soa.rdtype, soa.ttl, soa[0].minimum) == (dns.rdatatype.SOA, 7, 7)  # how long it may be kept (RFC 2308)


def test_a_name_above_a_vehicle_exists():
    names = name_server()
    assert ask(names, f"vehicles.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    set_to(names, "10.2.5.200")
    said = ask(names, f"vehicles.{ZONE}")
    assert (said.rcode(), said.answer, len(said.authority)) == (dns.rcode.NOERROR, [], 1)


def test_edns():
    names = name_server()
    assert ask(names, ZONE, use_edns=0).edns == 0
    assert ask(names, ZONE).edns == -1
    newer = dns.message.make_query(ZONE, "A", use_edns=1)
    assert tell(names, newer).rcode() == dns.rcode.BADVERS


def test_another_class_is_refused():
    assert tell(name_server(), dns.message.make_query(ZONE, "A", "CH")).rcode() == dns.rcode.REFUSED


# --- updates ----------------------------------------------------------------------------------------------------------------


def test_a_vehicle_moves_and_goes():
    names = name_server()
    assert set_to(names, "10.1.1.100", 30) == dns.rcode.NOERROR
    assert (ask(names, VEHICLE).answer[0][0].address, ask(names, VEHICLE).answer[0].ttl) == ("10.1.1.100", 30)
    assert set_to(names, "10.2.5.200") == dns.rcode.NOERROR
    assert [record.address for record in ask(names, VEHICLE).answer[0]] == ["10.2.5.200"]
    gone = update(names)
    gone.delete("vin123.vehicles", "A")
    assert tell(names, gone).rcode() == dns.rcode.NOERROR
    assert ask(names, VEHICLE).rcode() == dns.rcode.NXDOMAIN


def test_an_update_propagates_as_the_setting_says():
    now = Time()
    names = name_server(DNS(propagation_s=60.0), now)
    assert set_to(names, "10.1.1.100") == dns.rcode.NOERROR
    assert ask(names, VEHICLE).rcode() == dns.rcode.NXDOMAIN
    now.s = 60.0
    assert set_to(names, "10.2.5.200") == dns.rcode.NOERROR
    assert ask(names, VEHICLE).answer[0][0].address == "10.1.1.100"
    now.s = 120.0
    assert ask(names, VEHICLE).answer[0][0].address == "10.2.5.200"


UPDATES: dict[str, tuple[Callable[[Any], None], str]] = {
    "another name in the zone": (lambda m: m.replace("x", 60, "A", "10.1.1.1"), "REFUSED"),
    "the server's own": (lambda m: m.replace("@", 60, "A", "10.1.1.1"), "REFUSED"),
    "its name server's": (lambda m: m.delete("ns"), "REFUSED"),
    "the domain of the vehicles": (lambda m: m.replace("vehicles", 60, "A", "10.1.1.1"), "REFUSED"),
    "another type": (lambda m: m.replace("vin123.vehicles", 60, "TXT", "x"), "REFUSED"),
    "outside the zone": (lambda m: m.replace("x.example.", 60, "A", "10.1.1.1"), "NOTZONE"),
    "a prerequisite outside": (lambda m: m.present("x.example."), "NOTZONE"),
    "is there": (lambda m: m.present("vin123.vehicles"), "NOERROR"),
    "has an address": (lambda m: m.present("vin123.vehicles", "A"), "NOERROR"),
    "has this address": (lambda m: m.present("vin123.vehicles", "A", "10.9.9.9"), "NOERROR"),
    "has another address": (lambda m: m.present("vin123.vehicles", "A", "10.1.1.1"), "NXRRSET"),
    "has a text": (lambda m: m.present("vin123.vehicles", "TXT"), "NXRRSET"),
    "is not there": (lambda m: m.absent("vin123.vehicles"), "YXDOMAIN"),
    "has no address": (lambda m: m.absent("vin123.vehicles", "A"), "YXRRSET"),
    "has no text": (lambda m: m.absent("vin123.vehicles", "TXT"), "NOERROR"),
    "another is there": (lambda m: m.present("vin9.vehicles"), "NXDOMAIN"),
    "another is not there": (lambda m: m.absent("vin9.vehicles"), "NOERROR"),
    "one of two is refused": (lambda m: [m.replace(n, 60, "A", "10.1.1.1") for n in ("vin9.vehicles", "x")], "REFUSED"),
    "delete what is not there": (lambda m: m.delete("vin9.vehicles"), "NOERROR"),
    "delete another address": (lambda m: m.delete("vin123.vehicles", "A", "10.1.1.1"), "NOERROR"),
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATES)
def test_updates(name: str):
    build, rcode = UPDATES[name]
    names = name_server()
    set_to(names, "10.9.9.9")
    message = update(names)
    build(message)
    assert dns.rcode.to_text(tell(names, message).rcode()) == rcode
    # nothing of a refused one is done, and none of these was to move the vehicle
    assert ask(names, VEHICLE).answer[0][0].address == "10.9.9.9"
    assert ask(names, f"vin9.vehicles.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_who_may_update():
    names = name_server()
    nobody = dns.update.UpdateMessage(ZONE)
    nobody.replace("vin123.vehicles", 60, "A", "10.1.1.1")
    assert tell(names, nobody).rcode() == dns.rcode.REFUSED
    elsewhere = dns.update.UpdateMessage("example", keyring=names._key)
    elsewhere.replace("x", 60, "A", "10.1.1.1")
    assert tell(names, elsewhere).rcode() == dns.rcode.NOTAUTH
    wrong = dns.tsig.Key(names._key.name, b"x" * 32, "hmac-sha256")
    foreign = dns.tsig.Key("somebody.", b"x" * 32, "hmac-sha256")
    for key, error in ((wrong, dns.tsig.PeerBadSignature), (foreign, dns.tsig.PeerBadKey)):
        message = dns.update.UpdateMessage(ZONE, keyring=key)
        message.replace("vin123.vehicles", 60, "A", "10.1.1.1")
        wire = names.answer(message.to_wire(), udp=True)
        assert wire is not None
        assert wire[3] & 0xF == dns.rcode.NOTAUTH
        with pytest.raises(error):
            dns.message.from_wire(wire, keyring=key, request_mac=message.mac)
    assert ask(names, VEHICLE).rcode() == dns.rcode.NXDOMAIN


def test_an_old_update_is_not_taken_again(monkeypatch: pytest.MonkeyPatch):
    names = name_server()
    message = update(names)
    message.replace("vin123.vehicles", 60, "A", "10.1.1.1")
    wire = message.to_wire()
    later = time.time() + 1000.0
    monkeypatch.setattr(time, "time", lambda: later)
    said = names.answer(wire, udp=True)
    assert said is not None
    assert said[3] & 0xF == dns.rcode.NOTAUTH
    with pytest.raises(dns.tsig.PeerBadTime):
        dns.message.from_wire(said, keyring=names._key, request_mac=message.mac)
    assert ask(names, VEHICLE).rcode() == dns.rcode.NXDOMAIN


# --- what is malformed ------------------------------------------------------------------------------------------------------


def test_malformed_messages():
    names = name_server()
    query = dns.message.make_query(ZONE, "A").to_wire()
    assert names.answer(b"", udp=True) is None
    assert names.answer(query[:11], udp=True) is None
    assert names.answer(query[:2] + b"\x80" + query[3:], udp=True) is None  # it is an answer
    for wire, rcode in (
        (query[:-1], dns.rcode.FORMERR),
        (query + b"x", dns.rcode.FORMERR),
        (query[:12], dns.rcode.FORMERR),
        (query[:4] + b"\0\2" + query[6:], dns.rcode.FORMERR),  # two questions, it says
        (query[:4] + b"\0\0" + query[6:12], dns.rcode.FORMERR),  # none
        (query[:12] + b"\xc0\x0c" + query[-4:], dns.rcode.FORMERR),  # a name that points to itself
        (query[:2] + b"\x10" + query[3:], dns.rcode.NOTIMP),  # STATUS
        (query[:2] + b"\x20" + query[3:], dns.rcode.NOTIMP),  # NOTIFY
        (query[:2] + b"\x28" + query[3:], dns.rcode.FORMERR),  # an update whose zone is no SOA
    ):
        said = names.answer(wire, udp=True)
        assert said is not None
        assert (said[:2], said[2] & 0x80, said[3] & 0xF) == (query[:2], 0x80, rcode)


_NAMES = name_server()
_SEEDS = [
    dns.message.make_query(ZONE, "A").to_wire(),
    dns.message.make_query(VEHICLE, "ANY", use_edns=0, payload=512).to_wire(),
]


@given(
    st.binary(max_size=80)
    | st.builds(
        lambda seed, cuts: bytes(cuts.get(i, b) for i, b in enumerate(seed)),
        st.sampled_from([*_SEEDS, (lambda m: (m.replace("a.vehicles", 1, "A", "1.2.3.4"), m.to_wire())[1])(update(_NAMES))]),
        st.dictionaries(st.integers(0, 150), st.integers(0, 255), max_size=6),
    )
)
@settings(max_examples=400, deadline=None)
def test_no_message_raises(wire: bytes):
    said = _NAMES.answer(wire, udp=True)
    if said is not None:
        assert said[:2] == wire[:2]
        assert said[2] & 0x80
        assert said[3] & 0xF != dns.rcode.SERVFAIL  # which would be a defect
        assert len(said) <= 1232


def test_a_name_that_dns_cannot_have():
    with pytest.raises(NamesUnavailable, match=r"server\.name"):
        NameServer(Server(name="a" * 64 + ".example"), Time(), new_key())


# --- on sockets -------------------------------------------------------------------------------------------------------------


def test_udp_and_tcp_with_a_real_client():
    async def run() -> None:
        names = name_server()
        async with listening(names) as port:
            for transport in (dns.asyncquery.udp, dns.asyncquery.tcp):
                message = update(names)
                message.replace("vin123.vehicles", 60, "A", "10.2.5.200")
                assert (await transport(message, HOST, 2.0, port)).rcode() == dns.rcode.NOERROR
                said = await transport(dns.message.make_query(VEHICLE, "A"), HOST, 2.0, port)
                assert said.answer[0][0].address == "10.2.5.200"
            resolver = dns.resolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = [HOST], port
            found = await asyncio.to_thread(resolver.resolve, VEHICLE, "A")
            assert [record.address for record in found] == ["10.2.5.200"]
            with pytest.raises(dns.xfr.TransferError, match="REFUSED"):
                await asyncio.to_thread(dns.query.inbound_xfr, HOST, dns.zone.Zone(ZONE), port=port, lifetime=2.0)

    asyncio.run(run())


def test_tcp_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sim.live.names.sockets._IDLE_S", 0.3)

    async def run() -> None:
        async with listening(name_server()) as port:
            query = dns.message.make_query(ZONE, "A").to_wire()
            framed = len(query).to_bytes(2, "big") + query
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(framed * 3)  # one after the other, without waiting (RFC 7766 6.2.1.1)
            for _ in range(3):
                size = int.from_bytes(await reader.readexactly(2), "big")
                assert (await reader.readexactly(size))[:2] == query[:2]
            began = time.monotonic()
            writer.write(framed[:5])
            assert await asyncio.wait_for(_ended(reader), 5.0)
            assert 0.2 < time.monotonic() - began < 2.0
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"\0\3abc")
            assert await asyncio.wait_for(_ended(reader), 5.0)
            # and it goes on
            assert (await address_of(ZONE, HOST, port))[0] == "52.78.123.45"

    asyncio.run(run())


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_noise_on_the_port_harms_nobody(noise: list[bytes]):
    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with listening(name_server()) as port:
            udp, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(HOST, port))
            for data in noise:
                udp.sendto(data)
                _reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(data)
                writer.close()
            assert (await address_of(ZONE, HOST, port))[0] == "52.78.123.45"
            udp.close()

    asyncio.run(run())


# --- the server side's own dealings -------------------------------------------------------------------------------------------


def test_a_resolver_is_stale_for_as_long_as_the_ttl():
    async def run() -> None:
        now = Time()
        names = name_server(now=now)
        failures: list[str] = []
        async with listening(names) as port:
            own = ServerNames(HOST, port, ZONE, names._key, now, failed=failures.append)
            assert await own.resolve(VEHICLE) == ""
            own.update(VEHICLE, "10.1.1.100", 30.0)
            assert await own.resolve(VEHICLE) == ""  # the negative answer is kept for 7 s
            now.s = 7.0
            assert await own.resolve(VEHICLE) == "10.1.1.100"
            own.update(VEHICLE, "10.2.5.200", 30.0)
            now.s = 36.9
            assert await own.resolve(VEHICLE) == "10.1.1.100"
            assert (await address_of(VEHICLE, HOST, port)) == ("10.2.5.200", 30.0)  # who asks the server itself knows better
            now.s = 37.0
            assert await own.resolve(VEHICLE) == "10.2.5.200"
            assert failures == []
            await own.stop()

    asyncio.run(run())


def test_a_name_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sim.live.names.server_names._WITHIN_S", 0.2)

    async def run() -> None:
        names = name_server()
        async with listening(names) as port:
            pass
        failures: list[str] = []
        own = ServerNames(HOST, port, ZONE, names._key, Time(), failed=failures.append)
        own.update(VEHICLE, "10.1.1.100", 60.0)
        with pytest.raises(NoAnswer):
            await own.resolve(VEHICLE)
        assert len(failures) == 1
        await own.stop()

    asyncio.run(run())


# --- BIND's own tools ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed: make deps")
def test_dig():
    async def run() -> None:
        names = name_server()
        set_to(names, "10.2.5.200")
        async with listening(names) as port:
            for more in ((), ("+tcp",)):
                said = await _output("dig", "@127.0.0.1", "-p", str(port), VEHICLE, "A", "+noall", "+answer", "+time=2", *more)
                assert said.split() == [VEHICLE + ".", "60", "IN", "A", "10.2.5.200"]
            said = await _output("dig", "@127.0.0.1", "-p", str(port), ZONE, "AXFR", "+time=2", "+tries=1")
            assert "Transfer failed" in said

    asyncio.run(run())


@pytest.mark.skipif(shutil.which("nsupdate") is None, reason="nsupdate is not installed: make deps")
def test_nsupdate(tmp_path: Path):
    async def run() -> None:
        names = name_server()
        async with listening(names) as port:
            key = tmp_path / "key"
            secret = base64.b64encode(names._key.secret).decode()
            key.write_text(f'key "handover-lab" {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
            script = tmp_path / "script"
            script.write_text(
                f"server 127.0.0.1 {port}\nzone {ZONE}\nupdate delete {VEHICLE} A\nupdate add {VEHICLE} 60 A 10.3.9.150\nsend\n"
            )
            assert await _output("nsupdate", "-k", str(key), str(script)) == ""
            assert await address_of(VEHICLE, HOST, port) == ("10.3.9.150", 60.0)
            assert "REFUSED" in await _output("nsupdate", str(script))

    asyncio.run(run())


async def _output(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr
