"""When messages are created: computed once per drive, the same for every strategy, in the model and live."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from sim.machine import NEVER, Message
from sim.parking import at_driven, driving
from sim.strategies.context import Context
from sim.strategies.workload import OTA, Telemetry, Workload

#: Ids are unique per vehicle: downlink messages that a store may hold count from 1 without holes, the others elsewhere.
TELEMETRY_IDS: Final = 1_000_000
PROBE_IDS: Final = 2_000_000
RANGE_IDS: Final = 4_000_000


def chunks(ota: OTA) -> int | None:
    """Number of chunks of the image, or of its announcement; None where it is not given (then `at` says)."""
    if ota.via == "https_range":
        return 1
    if ota.at_s is not None:
        return len(ota.at_s)
    return None if ota.image_bytes is None else -(-ota.image_bytes // ota.chunk_bytes)


def chunk_bytes(ota: OTA, index: int) -> int:
    """Size of chunk `index`; the last one may be shorter."""
    if ota.via == "https_range":
        return ota.announcement_bytes
    if ota.image_bytes is None:
        return ota.chunk_bytes
    return max(1, min(ota.chunk_bytes, ota.image_bytes - index * ota.chunk_bytes))


def chunk_sizes(ota: OTA, n: int) -> list[int]:
    """Sizes of the first n chunks."""
    if ota.via == "https_range":
        return [ota.announcement_bytes] * n
    sizes = [ota.chunk_bytes] * n
    full = n if ota.image_bytes is None else ota.image_bytes // ota.chunk_bytes
    for index in range(full, n):
        sizes[index] = chunk_bytes(ota, index)
    return sizes


def image_ranges(ota: OTA, context: Context, now: float) -> list[Message]:
    """The ranges of an image that is fetched, as messages that exist from `now` on; the last one may be shorter."""
    image, size = ota.image_bytes or 0, ota.range_bytes
    topic = context.topic("down/ota")
    return [Message(RANGE_IDS + i, "ota", topic, min(size, image - i * size), ota.qos, now) for i in range(-(-image // size))]


def periodic(every_s: float, phase: float, end_s: float, limit: int | None = None) -> list[float]:
    """Instants phase x every, then each `every` (start + k x period, not repeated addition), before `end_s`."""
    first = phase * every_s
    n = max(0, int((end_s - first) / every_s) + 1)
    instants = [first + k * every_s for k in range(n if limit is None else min(n, limit))]
    return [t for t in instants if t < end_s]


def telemetry_instants(telemetry: Telemetry, context: Context) -> list[float]:
    """Those of the period at which the ignition is on, and the others where `while_parked`."""
    every_s, first_s, end_s = telemetry.every_s, context.phase("telemetry") * telemetry.every_s, context.drive_end_s
    if telemetry.while_parked or not context.parked:
        return periodic(every_s, context.phase("telemetry"), end_s)
    found: list[float] = []
    for on_s, off_s in driving(context.parked, end_s):
        k = max(0, math.ceil((on_s - first_s) / every_s))
        while (t := first_s + k * every_s) < off_s:
            if t >= on_s:
                found.append(t)
            k += 1
    return found


def creations(context: Context, probe_gap: Callable[[int], float]) -> list[Message]:
    """All messages that the applications create by the clock, in the order of time.

    `probe_gap(i)` is the exponential gap in s before probe i. A publisher that keeps a window creates its chunks itself.
    """
    workload: Workload = context.workload
    end_s = context.drive_end_s
    ota, d = workload.ota, workload.diagnostics
    found: list[Message] = []
    chunks_s: list[float] = []
    requests_s = periodic(d.every_s, context.phase("diagnostics"), end_s) if d is not None else []
    # ids count in the order of time, chunks before requests of the same instant
    if ota is not None and ota.window is None:
        every_s = ota.every_s or 1.0
        instants = [ota.start_s]
        if ota.via == "mqtt":
            instants = sorted(ota.at_s) if ota.at_s is not None else periodic(every_s, context.phase("ota"), end_s, chunks(ota))
        chunks_s = [t for t in instants if t < end_s]
        sizes = chunk_sizes(ota, len(chunks_s))
        topic, qos = context.topic("down/ota"), ota.qos
        for i, t in enumerate(chunks_s):
            number = i + 1 + (bisect_left(requests_s, t) if requests_s else 0)
            found.append(Message(number, "ota", topic, sizes[i], qos, t))
    if d is not None:
        topic, qos = context.topic("down/diagnostics"), d.qos
        for i, t in enumerate(requests_s):
            number = i + 1 + bisect_right(chunks_s, t)
            expires_s = t + d.timeout_s if d.expire else NEVER
            found.append(
                Message(number, "diagnostics", topic, d.request_bytes, qos, t, expires_s=expires_s, reply_bytes=d.response_bytes)
            )
    if workload.telemetry is not None:
        source = workload.telemetry
        topic = context.topic("up/telemetry")
        instants = telemetry_instants(source, context)
        found += [
            Message(TELEMETRY_IDS + i, "telemetry", topic, source.size_bytes, source.qos, t, uplink=True)
            for i, t in enumerate(instants)
        ]
    if workload.probes is not None:
        probes = workload.probes
        topic = context.topic("down/probe")
        # the gaps count the driving clock
        driven, i = probe_gap(0), 0
        while (t := at_driven(context.parked, driven)) < end_s:
            found.append(
                Message(
                    PROBE_IDS + i,
                    "probe",
                    topic,
                    probes.size_bytes,
                    0,
                    t,
                    expires_s=t + probes.within_s,
                    reply_bytes=probes.size_bytes,
                )
            )
            i += 1
            driven += probe_gap(i)
    if d is not None or workload.telemetry is not None or workload.probes is not None:
        found.sort(key=attrgetter("created_s", "id"))
    return found
