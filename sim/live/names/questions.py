"""Questions to a name server over UDP, and over TCP where the answer was cut short (RFC 1035, RFC 2308)."""

from __future__ import annotations

from typing import Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from sim.live.names.name_server import NameServer

_WITHIN_S: Final = 2.0  # one try
_TRIES: Final = 2


class NoAnswer(OSError):
    """The server did not answer, or not this question."""


async def address_of(name: str, server: str, port: int, *, within_s: float = _WITHIN_S) -> tuple[str, float]:
    """(address, TTL in s) of a name; ("", TTL of the negative answer) where it has none. Raises NoAnswer."""
    why = ""
    for _ in range(_TRIES):
        try:
            asked = dns.message.make_query(name, "A")
            said, _by_tcp = await dns.asyncquery.udp_with_fallback(asked, server, within_s, port)
        except (OSError, dns.exception.DNSException, ValueError) as error:
            why = str(error) or type(error).__name__
        else:
            return read_answer(said)
    raise NoAnswer(f"{name}: {why}")


def answer_of(names: NameServer, name: str) -> tuple[str, float]:
    """What `address_of` returns, from a name server at hand: the same bytes, without a socket. Raises NoAnswer."""
    try:
        wire = names.answer(dns.message.make_query(name, "A").to_wire(), udp=True)
        if wire is None:
            raise NoAnswer(f"{name}: no answer")
        return read_answer(dns.message.from_wire(wire))
    except (dns.exception.DNSException, ValueError) as error:
        raise NoAnswer(f"{name}: {error}") from None


def read_answer(said: dns.message.Message) -> tuple[str, float]:
    """What `address_of` returns. Raises NoAnswer where it is an error and no answer."""
    if said.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise NoAnswer(dns.rcode.to_text(said.rcode()))
    for rrset in said.answer:
        if rrset.rdtype == dns.rdatatype.A and len(rrset):
            return str(rrset[0].address), float(rrset.ttl)
    for rrset in said.authority:
        if rrset.rdtype == dns.rdatatype.SOA and len(rrset):
            return "", float(min(rrset.ttl, rrset[0].minimum))
    return "", 0.0  # without SOA it may not be kept (RFC 2308 5)
