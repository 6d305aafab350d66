"""Dynamic updates (RFC 2136): prerequisites, prescan, and what they come to.

Only addresses of vehicles may be changed. A name has one address: adding another replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.update

_A, _ANY_TYPE = dns.rdatatype.A, dns.rdatatype.ANY
_ANY, _NONE = dns.rdataclass.ANY, dns.rdataclass.NONE
_META = range(128, 256)  # types of questions and of signatures (RFC 6895 3.1)

#: (address, TTL in s) of a name, None where it does not exist
Newest = Callable[[str], tuple[str, float] | None]


class Refused(Exception):
    """The update is not made, none of it; `rcode` says why."""

    def __init__(self, rcode: dns.rcode.Rcode) -> None:
        super().__init__(dns.rcode.to_text(rcode))
        self.rcode = rcode


def updates_of(
    asked: dns.update.UpdateMessage, origin: dns.name.Name, vehicles: dns.name.Name, newest: Newest
) -> dict[str, tuple[str, float]]:
    """Name -> (address, TTL in s), address "" for a name that is deleted. Raises Refused."""
    for rrset in asked.prerequisite:
        _check_prerequisite(rrset, origin, newest)
    for rrset in asked.update:
        _prescan(rrset, origin)
    changes: dict[str, tuple[str, float]] = {}
    for rrset in asked.update:
        if not rrset.name.is_subdomain(vehicles) or rrset.name == vehicles or rrset.rdtype not in (_A, _ANY_TYPE):
            raise Refused(dns.rcode.REFUSED)
        name = _plain(rrset.name)
        now = changes.get(name) or newest(name) or ("", 0.0)
        if rrset.deleting is None:
            changes[name] = (rrset[0].address, float(rrset.ttl))
        elif rrset.deleting == _ANY or rrset[0].address == now[0]:
            changes[name] = ("", 0.0)
    return changes


def _check_prerequisite(rrset: Any, origin: dns.name.Name, newest: Newest) -> None:
    """RFC 2136 3.2.5."""
    if not rrset.name.is_subdomain(origin):
        raise Refused(dns.rcode.NOTZONE)
    found = newest(_plain(rrset.name))
    has_rrset = found is not None and rrset.rdtype == _A
    if rrset.deleting == _ANY:
        if rrset.rdtype == _ANY_TYPE and found is None:
            raise Refused(dns.rcode.NXDOMAIN)
        if rrset.rdtype != _ANY_TYPE and not has_rrset:
            raise Refused(dns.rcode.NXRRSET)
    elif rrset.deleting == _NONE:
        if rrset.rdtype == _ANY_TYPE and found is not None:
            raise Refused(dns.rcode.YXDOMAIN)
        if has_rrset:
            raise Refused(dns.rcode.YXRRSET)
    elif rrset.ttl != 0:
        raise Refused(dns.rcode.FORMERR)
    elif not has_rrset or found is None or rrset[0].address != found[0]:
        raise Refused(dns.rcode.NXRRSET)


def _prescan(rrset: Any, origin: dns.name.Name) -> None:
    """RFC 2136 3.4.1.3: before anything is changed."""
    if not rrset.name.is_subdomain(origin):
        raise Refused(dns.rcode.NOTZONE)
    is_any = rrset.deleting == _ANY and rrset.rdtype == _ANY_TYPE
    if (rrset.rdtype in _META and not is_any) or (rrset.deleting != _ANY and not len(rrset)):
        raise Refused(dns.rcode.FORMERR)


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
