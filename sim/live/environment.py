"""What a live run stood on that its numbers may depend on: versions and defaults of the machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def environment(congestion_control: str = "") -> dict[str, str]:
    """For the manifest. `congestion_control`: that of the link, where it has its own; else the machine's is said."""
    found = {}
    with contextlib.suppress(ImportError):  # a run without TLS may do without
        from sim.live.tls_context import openssl_version

        found["openssl"] = openssl_version()
    with contextlib.suppress(OSError):  # not Linux
        congestion_control = congestion_control or _CONGESTION_CONTROL.read_text().strip()
    if congestion_control:
        found["tcp_congestion_control"] = congestion_control
    return found
