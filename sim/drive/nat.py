"""When the carrier's NAT forgets all its mappings: a rebind or a pool failover (RFC 4787, RFC 5382)."""

from __future__ import annotations

from sim.drive.config import Network
from sim.drive.course import Key, instant
from sim.streams import Stream


def nat_rebinds(network: Network, end_s: float, key: Key) -> tuple[float, ...]:
    """Instants in s of the drive, rising, before `end_s`; none without a NAT. `key` is (seed, replication, vehicle).

    Simplification: rebinds come at random, independent of place and traffic, and take no time.
    """
    if network.access != "cgnat":
        return ()
    found = {instant(at_s) for at_s in network.cgnat.rebind_at_s if at_s < end_s}
    if network.cgnat.rebinds_per_hour > 0.0:
        draws, number = Stream(*key, "drive/rebind"), 0
        mean_s = 3600.0 / network.cgnat.rebinds_per_hour
        at_s = draws.exponential(0, mean_s)
        while at_s < end_s:
            found.add(instant(at_s))
            number += 1
            at_s += draws.exponential(number, mean_s)
    return tuple(sorted(found))
