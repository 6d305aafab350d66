"""Listening sockets of hosted machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.live.admission import Admission
from sim.live.host import Host

if TYPE_CHECKING:  # TLS needs more packages; without it nothing is needed
    from sim.live.tls import TLSStream

#: Makes a server's end of TLS, given what makes the protocol inside from the name in the client's certificate.
Accepter = Callable[[Callable[[str], asyncio.Protocol]], "TLSStream"]


async def listen(
    host: Host,
    port: int,
    secure: Accepter | None,
    *,
    address: str = "127.0.0.1",
    real_port: int = 0,
    admission: Admission | None = None,
) -> asyncio.Server:
    """Accept connections for the host's machine, as on its `port`; with TLS it is told of those whose handshake is done.

    `real_port`: where it really listens, 0 for a free one. Raises OSError.
    """

    def accepted() -> asyncio.Protocol:
        return host.accept(port) if secure is None else secure(lambda peer: host.accept(port, peer))

    guarded = (Admission() if admission is None else admission).guard(accepted)
    return await asyncio.get_running_loop().create_server(guarded, address, real_port)


def port_of(listener: asyncio.Server) -> int:
    return int(listener.sockets[0].getsockname()[1])
