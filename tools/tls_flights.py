"""Hold the model's table of TLS handshakes against real ones, and write the comparison to docs/validation_tls.md.

python tools/tls_flights.py           measure and write
python tools/tls_flights.py --check   measure; exit code 1 where a flight is off by more than 5 %, nothing is written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from OpenSSL import SSL  # noqa: E402 - the path comes first

from sim.live.tls_flights import Flights, measure  # noqa: E402
from sim.protocols.tls import TLS, Handshake, handshake  # noqa: E402

PAGE = ROOT / "docs" / "validation_tls.md"
TOLERANCE = 0.05
FLIGHTS = ("client_hello_bytes", "server_flight_bytes", "client_flight_bytes", "tickets_bytes")
SETTINGS = [
    TLS(profile=profile, signature=signature, mutual=mutual, resumption=resumption)
    for profile, signature in (("classical", "ml-dsa-44"), ("hybrid", "ml-dsa-44"), ("pqc", "ml-dsa-44"), ("pqc", "ml-dsa-65"))
    for mutual in (True, False)
    for resumption in ("stateless", "stateful")
]
_HEAD = """# Validation of the TLS handshakes

The model's handshakes are flights of bytes from a table (`sim/protocols/tls.py`). Here each is held against a real handshake
with the contexts and certificates of a live run, counted between two OpenSSL connections. `python tools/tls_flights.py`
makes this page; a test holds each flight to within 5 %.

"""
_COLUMNS = ("profile", "mutual", "resumption", "handshake", "ClientHello", "server flight", "client flight", "tickets", "worst")
_TAIL = """
Each cell: model / real, in bytes. ECDSA signatures vary by a byte or two from run to run. What the table leaves out:

- CPU times, which depend on the machine: the table's were measured once (docs/sources.md, PQC-TLS).
- A vehicle that accepts a connection of the server's (strategy 2) sends two tickets of 79 bytes that nobody uses; the model
  books none there.
"""


def compared() -> Iterator[tuple[TLS, Handshake, Flights]]:
    """(settings, the model's, the real one) of each handshake: full and resumed."""
    for settings in SETTINGS:
        for real in measure(settings):
            expected = handshake(settings, resumed=real is not None and real.resumed)
            assert expected is not None
            assert real is not None
            yield settings, expected, real


def worst_of(expected: Handshake, real: Flights) -> float:
    """Largest relative difference of a flight, with its sign."""
    differences = [getattr(real, name) / getattr(expected, name) - 1.0 for name in FLIGHTS]
    return max(differences, key=abs)


def page() -> tuple[str, float]:
    rows, worst = [], 0.0
    for settings, expected, real in compared():
        off = worst_of(expected, real)
        worst = max(worst, abs(off))
        name = settings.profile + (f", {settings.signature}" if settings.profile == "pqc" else "")
        cells = [f"{getattr(expected, flight)} / {getattr(real, flight)}" for flight in FLIGHTS]
        kind = "resumed" if real.resumed else "full"
        rows.append((name, "yes" if settings.mutual else "no", settings.resumption, kind, *cells, f"{100 * off:+.1f} %"))
    versions = f"Measured with {SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()}.\n\n"
    lines = ["| " + " | ".join(row) + " |" for row in (_COLUMNS, ("---",) * len(_COLUMNS), *rows)]
    return _HEAD + versions + "\n".join(lines) + "\n" + _TAIL, worst


def main() -> int:
    text, worst = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    print(f"largest difference {100 * worst:.1f} %")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
