"""TLS of a live run: the vehicle and the server, each as client and as server, with the run's certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sim.live.certificates import Certificates, CertificatesRefused, Signature, issue
from sim.live.packet.tls_records import RecordwiseTLSStream
from sim.live.tls import TLSStream
from sim.live.tls_context import Contexts, contexts
from sim.protocols.server import SECOND_NAME, Server

Inner = Callable[[str], asyncio.Protocol]


def certificates_for(server: Server, vins: list[str]) -> Certificates:
    """New certificates for the server and these vehicles, as the profile in its settings has them."""
    signature: Signature = server.tls.signature
    profile = server.tls.profile
    if profile == "none":
        raise CertificatesRefused("the profile none has no certificates")
    names = list(dict.fromkeys((server.name, SECOND_NAME, server.address)))
    return issue(names, vins, profile, signature)


@dataclass(frozen=True, slots=True)
class Parties:
    """Makes the ends of connections. `Inner` makes what speaks inside, given the name in the peer's certificate."""

    server_name: str
    vehicle: Contexts
    server: Contexts

    def vehicle_opens(self, peer: str, inner: Inner) -> TLSStream:
        return TLSStream(self.vehicle, inner, client_of=peer)

    def server_opens(self, peer: str, inner: Inner) -> TLSStream:
        return TLSStream(self.server, inner, client_of=peer, resumes=False)

    def server_accepts(self, inner: Inner) -> TLSStream:
        return TLSStream(self.server, inner)

    def broker_accepts(self, inner: Inner) -> RecordwiseTLSStream:
        """As `server_accepts`, for who has to know where in TCP's stream each piece of plain text was."""
        return RecordwiseTLSStream(self.server, inner)

    def vehicle_accepts(self, inner: Inner) -> TLSStream:
        """From the server alone: another vehicle's certificate is signed by the same authority."""
        return TLSStream(self.vehicle, inner, accepts_only=self.server_name)


def parties(server: Server, vin: str, certificates: Certificates) -> Parties:
    """Both sides of one vehicle's run. Nobody resumes with a vehicle, as in the model.

    Raises:
        TLSUnavailable: pyOpenSSL cannot do the profile.
    """
    return Parties(
        server.name,
        contexts(server.tls, certificates.root, certificates.vehicles[vin], resumable=False),
        contexts(server.tls, certificates.root, certificates.server),
    )
