"""Settings of the workload: what the applications on both sides send. The same for every strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.settings import setting
from sim.strategies.backoff import Backoff


@dataclass(frozen=True, slots=True)
class OTA:
    """An image on its way from the OTA server to the vehicle: published in chunks, or announced and fetched in ranges."""

    via: Literal["mqtt", "https_range"] = setting(
        "mqtt",
        "mqtt: chunks, as messages of the strategy; https_range: a message announces the update, the vehicle fetches ranges",
        "seed; most fleets ship images over HTTPS",
    )
    image_bytes: int | None = setting(None, "size of the image; not needed with `at`", above=0)
    chunk_bytes: int = setting(256 * 1024, "size of a chunk", "real-world 2.5: 4 KiB (AWS IoT OTA) to 8 MB (S3 ranges)", above=0)
    every_s: float | None = setting(None, "a chunk is published each", above=0.0)
    window: int | None = setting(
        None, "instead of `every`: so many chunks are kept unacknowledged by the vehicle's application", at_least=1
    )
    at_s: tuple[float, ...] | None = setting(None, "instead of `every`: the instants at which chunks are published")
    qos: int = setting(1, "MQTT quality of service", "seed, E and key settings 1", at_least=0, at_most=2)
    give_up_s: float | None = setting(
        None, "with `window`: the publisher gives a chunk up after this long; null: never", above=0.0
    )
    start_s: float = setting(
        10.0, "with https_range: when the update is announced", "our choice: once a vehicle is connected", at_least=0.0
    )
    announcement_bytes: int = setting(512, "with https_range: size of the announcement", "our choice", above=0)
    range_bytes: int = setting(8 * 2**20, "with https_range: size of a range", "real-world 2.5: 8 or 16 MB (S3)", above=0)
    download_timeout_s: float = setting(
        10.0, "with https_range: a request has failed when nothing comes for so long", "our choice: as connect timeout", above=0.0
    )
    retry: Backoff = setting(
        factory=Backoff, doc="with https_range: waits between failed requests, anew after each byte received"
    )


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Requests from the server that the vehicle answers."""

    every_s: float = setting(60.0, "a request each", "our choice", above=0.0)
    timeout_s: float = setting(10.0, "a response later than this is late", "design 8", above=0.0)
    request_bytes: int = setting(256, "size of the request", "our choice", above=0)
    response_bytes: int = setting(4096, "size of the response", "our choice", above=0)
    qos: int = setting(1, "MQTT quality of service", "seed", at_least=0, at_most=2)
    expire: bool = setting(False, "give the request a message expiry of its timeout (MQTT 5 3.3.2.3.3)")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Messages from the vehicle to the backend."""

    every_s: float = setting(10.0, "a message each", "our choice", above=0.0)
    size_bytes: int = setting(1024, "size of a message", "design 8", above=0)
    qos: int = setting(1, "MQTT quality of service", "seed", at_least=0, at_most=2)
    while_parked: bool = setting(False, "goes on while the ignition is off", "our choice: control units sleep")


@dataclass(frozen=True, slots=True)
class Probes:
    """The lab's own small requests at random instants, by which reachability is measured; their bytes are reported apart.

    None is made while the vehicle is parked, so that reachability is that of driving; diagnostics tell of the rest.
    """

    mean_gap_s: float = setting(20.0, "mean of the exponential gaps between probes", "our choice", above=0.0)
    within_s: float = setting(10.0, "reachable: answered within this time", "design 5: delivered within 10 s", above=0.0)
    size_bytes: int = setting(32, "size of request and response", "our choice", above=0)


@dataclass(frozen=True, slots=True)
class Workload:
    """null switches a workload off."""

    ota: OTA | None = setting(None, "over-the-air update")
    diagnostics: Diagnostics | None = setting(None, "diagnostics requests")
    telemetry: Telemetry | None = setting(None, "telemetry of the vehicle")
    probes: Probes | None = setting(factory=Probes, doc="reachability probes")
