"""OpenSSL as the lab uses it, by pyOpenSSL: TLS 1.3 alone, the profile's group, who is trusted, which tickets.

Python's own `ssl` is linked to an OpenSSL without ML-KEM; pyOpenSSL brings its own, so all profiles take one path.
What has no public API (choosing the group, asking whether a session was resumed) is in this file and nowhere else.
"""

from __future__ import annotations

import hmac
import ipaddress
import warnings
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from sim.live.certificates import Issued
from sim.protocols.tls import TLS

GROUPS = {"classical": "X25519", "hybrid": "X25519MLKEM768", "pqc": "X25519MLKEM768"}
# else OpenSSL adds intermediate and root from the store of trusted certificates to what it shows
_NO_AUTO_CHAIN = 0x8
_SESSIONS_OF = b"handover-lab"  # without it a server that asks for certificates refuses its own tickets


class TLSUnavailable(RuntimeError):
    """This pyOpenSSL cannot do what a profile needs; one line."""


@dataclass(slots=True)
class PeerCheck:
    """What one connection expects of its peer, and what was found. `expected`: a host name or address, "" for any."""

    expected: str = ""
    wrong_peer: bool = False


@dataclass(frozen=True, slots=True)
class Contexts:
    """Both roles of one party."""

    client: SSL.Context
    server: SSL.Context
    settings: TLS
    sessions: dict[str, SSL.Session] = field(default_factory=dict)  # by peer: of the newest tickets


def contexts(settings: TLS, root: bytes, party: Issued, *, resumable: bool = True) -> Contexts:
    """OpenSSL contexts of a party that trusts `root`. `resumable`: whether its clients come back with tickets.

    Raises:
        TLSUnavailable: pyOpenSSL or the OpenSSL in it cannot do it.
    """
    try:
        return Contexts(_client(settings, root, party), _server(settings, root, party, resumable), settings)
    except (SSL.Error, crypto.Error, AttributeError, TypeError) as error:
        raise TLSUnavailable(f"TLS profile {settings.profile} is not to be had with this pyOpenSSL: {error!r}") from None


def _context(settings: TLS, root: bytes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_mode(_NO_AUTO_CHAIN)
    _choose_group(context, GROUPS[settings.profile])
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(x509.load_pem_x509_certificate(root)))
    return context


def _show(context: SSL.Context, party: Issued) -> None:
    leaf, *chain = x509.load_pem_x509_certificates(party.certificate)
    context.use_certificate(leaf)
    for authority in chain:
        context.add_extra_chain_cert(authority)
    key: Any = serialization.load_pem_private_key(party.key, None)
    try:
        context.use_privatekey(key)
    except TypeError:
        # an ML-DSA key is taken as a PKey from PEM alone (pyOpenSSL 26.4), which has been deprecated all the same
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, party.key))
    context.check_privatekey()


def _client(settings: TLS, root: bytes, party: Issued) -> SSL.Context:
    context = _context(settings, root)
    context.set_verify(SSL.VERIFY_PEER, _verified)
    context.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
    if settings.mutual:
        _show(context, party)
    return context


def _server(settings: TLS, root: bytes, party: Issued, resumable: bool) -> SSL.Context:
    context = _context(settings, root)
    _show(context, party)
    if settings.mutual:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
    context.set_session_id(_SESSIONS_OF)
    context.set_timeout(max(1, round(settings.ticket_lifetime_s)))
    if settings.resumption == "stateful" or not resumable:
        # in TLS 1.3: tickets that are keys of the server's cache. To send none at all cannot be asked for by pyOpenSSL;
        # where nobody comes back these are the smallest, and the cache has nothing of them
        context.set_options(SSL.OP_NO_TICKET)
    keeps = resumable and settings.resumption == "stateful"
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER if keeps else SSL.SESS_CACHE_OFF)
    return context


def _verified(connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, ok: int) -> bool:
    """Called by OpenSSL for each certificate of the peer's chain; False ends the handshake with an alert."""
    if not ok:
        return False
    check = connection.get_app_data()
    if depth == 0 and isinstance(check, PeerCheck) and check.expected:
        check.wrong_peer = not bears(certificate.to_cryptography(), check.expected)
        return not check.wrong_peer
    return True


def bears(certificate: x509.Certificate, name: str) -> bool:
    """Whether a certificate is for `name`, a host name or an address (RFC 9525; no wildcards: the lab issues none)."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(name) in alternatives.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = name.lower().encode()
        return any(
            hmac.compare_digest(wanted, found.lower().encode()) for found in alternatives.get_values_for_type(x509.DNSName)
        )


def peer_name(connection: SSL.Connection) -> str:
    """The host name in the peer's certificate; "" where it showed none."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return ""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.DNSName)), "")


def session_secret(connection: SSL.Connection) -> bytes:
    """The secret of the session; empty where it cannot be resumed (yet)."""
    try:
        return connection.master_key() or b""
    except SSL.Error:
        return b""


def _choose_group(context: Any, group: str) -> None:
    from OpenSSL._util import lib

    # there is no public way (pyOpenSSL 26.4); the name is the old alias of SSL_CTX_set1_groups_list
    if lib.SSL_CTX_set1_curves_list(context._context, group.encode()) != 1:
        raise TLSUnavailable(f"this OpenSSL does not know the group {group}")


def openssl_version() -> str:
    """The OpenSSL that does the TLS of live runs: pyOpenSSL brings its own."""
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()


def was_resumed(connection: Any) -> bool:
    from OpenSSL._util import lib

    return bool(lib.SSL_session_reused(connection._ssl))
