"""An authoritative name server (RFC 1034, 1035): bytes in, bytes out. What the names are is the zone machine's business.

    ota-server.company.com               SOA, NS, A of the server       TTL of the scenario's server.dns
    ns.ota-server.company.com            A of the server
    vin123.vehicles.ota-server.company.com   A of the vehicle           set by dynamic update (sim.live.names.updates)
    ota-server.com                       likewise: the seed's second name for the server

It answers queries for A, NS, SOA and ANY in its zones, NXDOMAIN and empty answers with the SOA whose minimum is the negative
TTL (RFC 2308), and REFUSED to everything outside of them and to zone transfers. What is malformed gets FORMERR, and what is
no query no answer at all. Nothing in a message raises.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable
from typing import Any, Final, cast

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
from dns.rdtypes.ANY.TSIG import TSIG

from sim.live.names.updates import Refused, updates_of
from sim.protocols.dns import Zone
from sim.protocols.server import SECOND_NAME, Server

KEY_NAME: Final = "handover-lab."
_IN, _A, _NS, _SOA, _ANY = dns.rdataclass.IN, dns.rdatatype.A, dns.rdatatype.NS, dns.rdatatype.SOA, dns.rdatatype.ANY
_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
_SMALLEST, _LARGEST = 512, 1232  # bytes of an answer by UDP: RFC 1035 4.2.1; RFC 9715
_REFRESH_S, _RETRY_S, _EXPIRE_S = 3600, 600, 86_400  # of the SOA; nobody transfers the zones


class NamesUnavailable(RuntimeError):
    """A name that DNS cannot have, or a port that cannot be listened on; one line."""


def new_key() -> dns.tsig.Key:
    """A key with which updates are signed (RFC 8945)."""
    return dns.tsig.Key(KEY_NAME, os.urandom(32), "hmac-sha256")


class NameServer:
    """Knows the server's names from the start, and vehicles' from updates that bear the key."""

    def __init__(self, server: Server, now: Callable[[], float], key: dns.tsig.Key) -> None:
        """`now` is the time of the zone machine. Raises NamesUnavailable."""
        self._dns = server.dns
        self._now = now
        self._key = key
        self._origins: list[dns.name.Name] = []
        self.zone = Zone()
        self.main = server.name.lower().rstrip(".")
        try:
            self.vehicles = dns.name.from_text(f"vehicles.{self.main}")
            for name in dict.fromkeys((self.main, SECOND_NAME)):
                self._origins.append(dns.name.from_text(name))
                for known in (name, f"ns.{name}"):
                    self.zone.update(-math.inf, known, server.address, self._dns.ttl_s)
        except (dns.exception.DNSException, ValueError) as error:
            raise NamesUnavailable(f"server.name: {server.name!r} is no name for DNS: {error}") from None

    def answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        """The answer to a message; None where it gets none."""
        if len(wire) < 12 or wire[2] & 0x80:
            return None  # no header, or itself an answer
        try:
            return self._answer(wire, udp=udp)
        except Exception:  # a defect, ours or the library's: of this message alone
            return _header_only(wire, dns.rcode.SERVFAIL)

    def _answer(self, wire: bytes, *, udp: bool) -> bytes:
        opcode = (wire[2] >> 3) & 0xF
        if opcode not in (dns.opcode.QUERY, dns.opcode.UPDATE):
            return _header_only(wire, dns.rcode.NOTIMP)
        try:
            asked = dns.message.from_wire(wire, keyring={self._key.name: self._key})
        except (dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadAlgorithm, dns.message.UnknownTSIGKey) as error:
            return self._wrongly_signed(wire, error)
        except Exception:  # the library raises what it likes on bytes from anywhere
            return _header_only(wire, dns.rcode.FORMERR)
        if asked.edns > 0:
            response = dns.message.make_response(asked, our_payload=_LARGEST)
            response.set_rcode(dns.rcode.BADVERS)
        elif opcode == dns.opcode.UPDATE:
            response = self._update(cast(dns.update.UpdateMessage, asked))
        else:
            response = self._look_up(asked)
        size = max(_SMALLEST, min(asked.payload, _LARGEST)) if udp else 65535
        return response.to_wire(max_size=size, prefer_truncation=True)

    # --- queries ----------------------------------------------------------------------------------------------------------

    def _look_up(self, asked: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(asked, our_payload=_LARGEST)
        if len(asked.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        (question,) = asked.question
        origin = self._origin_of(question.name)
        if origin is None or question.rdclass != _IN or question.rdtype in _TRANSFERS:
            response.set_rcode(dns.rcode.REFUSED)
            return response
        response.flags |= dns.flags.AA
        name = _plain(question.name)
        found = self.zone.answer(self._now(), name)
        wanted = question.rdtype
        if question.name == origin and wanted in (_SOA, _ANY):
            response.answer.append(self._soa(origin))
        if question.name == origin and wanted in (_NS, _ANY):
            response.answer.append(self._ns(origin))
        if found is not None and wanted in (_A, _ANY):
            response.answer.append(_record(question.name, found[1], _A, found[0]))
        if not response.answer:
            if found is None and not self.zone.has_below(self._now(), name):
                response.set_rcode(dns.rcode.NXDOMAIN)
            response.authority.append(self._soa(origin))
        elif wanted == _NS:
            glue = self.zone.answer(self._now(), f"ns.{_plain(origin)}")
            if glue is not None:
                response.additional.append(_record(dns.name.Name((b"ns", *origin.labels)), glue[1], _A, glue[0]))
        return response

    def _origin_of(self, name: dns.name.Name) -> dns.name.Name | None:
        return next((origin for origin in self._origins if name.is_subdomain(origin)), None)

    def _soa(self, origin: dns.name.Name) -> dns.rrset.RRset:
        """Its minimum and its own TTL are how long a negative answer may be kept (RFC 2308 4, 5)."""
        negative_s = _whole(self._dns.negative_ttl_s)
        serial = self.zone.updates & 0xFFFFFFFF
        text = f"ns.{origin} hostmaster.{origin} {serial} {_REFRESH_S} {_RETRY_S} {_EXPIRE_S} {negative_s}"
        return _record(origin, negative_s, _SOA, text)

    def _ns(self, origin: dns.name.Name) -> dns.rrset.RRset:
        return _record(origin, self._dns.ttl_s, _NS, f"ns.{origin}")

    # --- updates ----------------------------------------------------------------------------------------------------------

    def _update(self, asked: dns.update.UpdateMessage) -> dns.message.Message:
        response = dns.message.make_response(asked, our_payload=_LARGEST)
        try:
            if len(asked.zone) != 1:
                raise Refused(dns.rcode.FORMERR)
            if asked.zone[0].name != self._origins[0] or asked.zone[0].rdclass != _IN:
                raise Refused(dns.rcode.NOTAUTH)
            if not asked.had_tsig:
                raise Refused(dns.rcode.REFUSED)
            changes = updates_of(asked, self._origins[0], self.vehicles, self.zone.newest)
            for name, (address, ttl_s) in changes.items():
                self.zone.update(self._now(), name, address, ttl_s, self._dns.propagation_s)
        except Refused as refused:
            response.set_rcode(refused.rcode)
        return response

    def _wrongly_signed(self, wire: bytes, error: Exception) -> bytes:
        """NOTAUTH, and in its TSIG what is wrong: unsigned but where the clocks differ (RFC 8945 5.2, 5.3.2)."""
        asked: Any = dns.message.from_wire(wire, keyring=False)
        response: Any = dns.message.make_response(asked, our_payload=_LARGEST)
        response.set_rcode(dns.rcode.NOTAUTH)
        signed = cast(TSIG, asked.tsig[0])
        if isinstance(error, dns.tsig.BadTime):
            ours = struct.pack("!HI", *divmod(int(time.time()), 2**32))
            response.use_tsig(self._key, self._key.name, 300, None, int(dns.rcode.BADTIME), ours, self._key.algorithm)
            response.request_mac = asked.mac
        else:
            code = dns.rcode.BADSIG if isinstance(error, dns.tsig.BadSignature) else dns.rcode.BADKEY
            make: Any = TSIG
            unsigned = make(
                dns.rdataclass.ANY, dns.rdatatype.TSIG, signed.algorithm, signed.time_signed, signed.fudge, b"",
                asked.id, int(code), b"",
            )  # fmt: skip
            response.additional.append(dns.rrset.from_rdata(asked.keyname, 0, unsigned))
        return bytes(response.to_wire())


def _header_only(wire: bytes, rcode: int) -> bytes:
    """An answer to what cannot be answered in any other way."""
    return wire[:2] + bytes((0x80 | (wire[2] & 0x79), rcode)) + bytes(8)


def _record(name: dns.name.Name, ttl_s: float, kind: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_rdata(name, _whole(ttl_s), dns.rdata.from_text(_IN, kind, text))


def _whole(seconds: float) -> int:
    return max(0, min(round(seconds), 2**31 - 1))


def _plain(name: dns.name.Name) -> str:
    """As the zone machine has it: without the last dot, in lower case."""
    return name.to_text(omit_final_dot=True).lower()
