"""Who else came to the broker with the vehicle's client id: a broker then ends the vehicle's connection (MQTT 3.1.1 3.1.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.live.observed.visits import Visit


@dataclass(frozen=True, slots=True)
class Stranger:
    """A CONNECT with the vehicle's client id that was not the vehicle's; `near` is where it came from."""

    at_s: float
    near: tuple[str, int]
    clean_session: bool

    def in_words(self) -> str:
        """A sentence, for the report."""
        session = ", with clean session, which ends the vehicle's session" if self.clean_session else ""
        return (
            f"At {self.at_s:.3f} s another client connected from {self.near[0]} with the vehicle's client id{session}:"
            " it took the connection over, and the vehicle's was closed."
        )


class Strangers:
    """`own(end)`: whether a connection from there is the vehicle's own."""

    def __init__(self, client_id: str, own: Callable[[tuple[str, int]], bool]) -> None:
        self._client_id = client_id
        self._own = own
        self.came: list[Stranger] = []

    def connected(self, visit: Visit) -> None:
        """Somebody's CONNECT is at the broker."""
        connect = visit.connect
        if connect is not None and connect.client_id == self._client_id and not self._own(visit.near):
            self.came.append(Stranger(visit.came[0].at_s, visit.near, connect.clean_start))

    def since(self, at_s: float) -> Stranger | None:
        """The latest that came since then."""
        return next((one for one in reversed(self.came) if one.at_s >= at_s), None)
