"""RSRP and SINR of every tower along a route: path loss, correlated shadowing, noise, interference.

Simplification: no fast fading; the 200 ms measurements average over it (TS 38.133 9.2).
Simplification: one omnidirectional cell a site, so a sector change within a site does not happen.
Simplification: uplink quality is that of the downlink; the vehicle's power limit is not modelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, floor

import numpy as np
import numpy.typing as npt

from sim.drive.config import Radio, Tower
from sim.drive.correlation import at_positions, correlated, recursion
from sim.drive.course import Key
from sim.drive.path_loss import SURROUNDINGS, Surroundings, los_probability, path_loss_db
from sim.drive.route import Route
from sim.drive.timeline import Floats
from sim.streams import Stream

#: RSRP is the power of one resource element: 10 MHz carry 50 resource blocks = 600 subcarriers (TS 36.101 5.6), -27.8 dB.
ELEMENT_HZ = 15e3
#: Share of the bandwidth that carries subcarriers: 600 x 15 kHz of 10 MHz.
OCCUPIED_SHARE = 0.9
#: Thermal noise at 290 K in dBm/Hz.
THERMAL_DBM = -174.0
#: RSRP of a tower too far away to be looked at.
UNHEARD_DBM = -200.0
#: Towers that are followed at a time.
HEARD = 8
_COARSE_M = 100.0
_STEPS = 5  # points of the shadowing grid for each decorrelation distance
_MEMORY = 64  # points after which exp(-64 / 5) of the past is left: the grid does not depend on where it begins


@dataclass(frozen=True, slots=True)
class Signals:
    """Measurements every `period_s` from 0 s; shapes (towers, samples) or (samples,)."""

    period_s: float
    rsrp_dbm: Floats  # L3-filtered
    power_mw: Floats  # unfiltered, per resource element; 0 where not heard
    carrier_mw: Floats  # (carriers, samples): all towers of the carrier together
    carrier: npt.NDArray[np.int64]  # (towers,): index into the carriers
    noise_mw: float
    load: float
    off_air: npt.NDArray[np.bool_] | None = None  # (towers, samples): out of service; None: none is

    @property
    def samples(self) -> int:
        return int(self.rsrp_dbm.shape[1])

    def sinr_db(self, tower: npt.NDArray[np.int64] | int, sample: npt.NDArray[np.int64] | slice) -> Floats:
        """SINR in dB while `tower` serves; indices as in NumPy.

        Simplification: neighbours on the same carrier interfere with a constant share of their power, the same for all.
        """
        own = self.power_mw[tower, sample]
        others = np.maximum(self.carrier_mw[self.carrier[tower], sample] - own, 0.0)
        ratio: Floats = 10.0 * np.log10(np.maximum(own, 1e-30) / (self.noise_mw + self.load * others))
        return ratio

    def sample_of(self, times_s: Floats) -> npt.NDArray[np.int64]:
        """Latest sample at the given times."""
        return np.clip(np.floor(times_s / self.period_s + 1e-9).astype(np.int64), 0, self.samples - 1)


def element_share_db(bandwidth_hz: float) -> float:
    """From transmit power to the power of one resource element, in dB: -27.8 dB for 10 MHz."""
    return -10.0 * float(np.log10(OCCUPIED_SHARE * bandwidth_hz / ELEMENT_HZ))


def l3_filter(measured: Floats, coefficient: int) -> Floats:
    """F_n = (1 - a) F_(n-1) + a M_n with a = 1/2^(k/4), F_0 = M_0 (TS 38.331 5.5.3.2), along the last axis, in dB."""
    a = 0.5 ** (coefficient / 4.0)
    first = measured[..., :1]
    filtered: Floats = first + recursion(a * (measured - first), 1.0 - a)
    return filtered


def noise_dbm(noise_figure_db: float) -> float:
    """Noise in one resource element in dBm."""
    return THERMAL_DBM + 10.0 * float(np.log10(ELEMENT_HZ)) + noise_figure_db


def measure_towers(
    radio: Radio, towers: tuple[Tower, ...], route: Route, key: Key, random: bool,
    silent: Sequence[Sequence[tuple[float, float]]] = (),
) -> Signals:  # fmt: skip
    """Signals of the towers along the route; `key` is (seed, replication, vehicle). Not `random`: mean path loss alone.

    `silent`: for each tower the spans in s in which it does not send.

    Simplification: only the eight strongest towers by mean path loss are followed at each point of the road.
    Simplification: the mean loss lies between LOS and NLOS by P(LOS). A state drawn along the path (38.901 7.6.3.3) makes
    three to five times as many cell changes as real drives have, three quarters of them there and back.
    Simplification: one decorrelation distance of shadowing for both states, that of NLOS.
    Simplification: shadowing belongs to the travelled distance, so a second pass of the same place meets other shadowing.
    """
    n = floor(route.end_s / radio.measurement_period_s + 1e-9) + 1
    time_s = np.arange(n) * radio.measurement_period_s
    x, y, travelled = (np.interp(time_s, route.time_s, knots) for knots in (route.x_m, route.y_m, route.travelled_m))
    surroundings = SURROUNDINGS[radio.model]
    frequencies = [tower.frequency_hz or radio.frequency_hz for tower in towers]
    carriers = sorted(set(frequencies))
    carrier = np.array([carriers.index(f) for f in frequencies], dtype=np.int64)
    heard = _heard(radio, towers, frequencies, route)
    rsrp = np.full((len(towers), n), UNHEARD_DBM)
    power = np.zeros((len(towers), n))
    total = np.zeros((len(carriers), n))
    off_air = np.zeros((len(towers), n), dtype=np.bool_) if any(silent) else None
    shadowing = _Shadowing(radio, surroundings, float(route.travelled_m[-1]), key) if random else None
    for i, tower in enumerate(towers):
        for low, high in heard[i]:
            span = slice(*np.searchsorted(travelled, (low, high), side="left").tolist())
            if high >= travelled[-1]:
                span = slice(span.start, n)
            if span.stop <= span.start:
                continue
            distance = np.hypot(x[span] - tower.at_m[0], y[span] - tower.at_m[1])
            los, nlos = path_loss_db(radio.model, distance, frequencies[i])
            chance = los_probability(radio.model, distance)
            loss = chance * los + (1.0 - chance) * nlos
            if shadowing is not None:
                loss = shadowing.loss_db(tower.id, travelled[span], loss, chance)
            raw = _sent_dbm(radio, tower) - loss
            rsrp[i, span] = l3_filter(raw, radio.filter_coefficient)
            power[i, span] = 10.0 ** (raw / 10.0)
            for start_s, end_s in silent[i] if silent else ():
                off = np.flatnonzero((time_s[span] >= start_s) & (time_s[span] < end_s)) + span.start
                rsrp[i, off], power[i, off] = UNHEARD_DBM, 0.0
                if off_air is not None:
                    off_air[i, off] = True
            total[carrier[i], span] += power[i, span]
    noise_mw = 10.0 ** (noise_dbm(radio.noise_figure_db) / 10.0)
    return Signals(radio.measurement_period_s, rsrp, power, total, carrier, noise_mw, radio.neighbour_load_share, off_air)


def _sent_dbm(radio: Radio, tower: Tower) -> float:
    return tower.power_dbm + radio.antenna_gain_db + element_share_db(radio.bandwidth_hz)


def _heard(radio: Radio, towers: tuple[Tower, ...], frequencies: list[float], route: Route) -> list[list[tuple[float, float]]]:
    """For each tower the stretches of travelled distance in which it is one of the strongest."""
    end_m = float(route.travelled_m[-1])
    if len(towers) <= HEARD:
        return [[(0.0, np.inf)]] * len(towers)
    n = max(2, min(ceil(end_m / _COARSE_M) + 1, 5000))
    at_m = np.linspace(0.0, end_m, n)
    # standing still repeats a travelled distance; np.interp takes any of the equal knots, which share the position
    x, y = np.interp(at_m, route.travelled_m, route.x_m), np.interp(at_m, route.travelled_m, route.y_m)
    mean = np.empty((len(towers), n))
    for i, tower in enumerate(towers):
        mean[i] = (
            _sent_dbm(radio, tower) - path_loss_db(radio.model, np.hypot(x - tower.at_m[0], y - tower.at_m[1]), frequencies[i])[1]
        )
    least = np.partition(mean, -HEARD, axis=0)[-HEARD]
    stretches: list[list[tuple[float, float]]] = []
    for strong in mean >= least:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], strong.astype(np.int8), [0]))))
        stretches.append(
            [
                # one coarse point more on each side, so that nothing between the points is missed
                (float(at_m[max(a - 1, 0)]), float(at_m[b]) if b < n else np.inf)
                for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
            ]
        )
    return stretches


class _Shadowing:
    """Shadowing drawn along the path, correlated in distance and between towers."""

    def __init__(self, radio: Radio, surroundings: Surroundings, end_m: float, key: Key) -> None:
        self._key = key
        self._los_sigma_db = surroundings.los_sigma_db if radio.shadowing_db is None else radio.shadowing_db
        self._nlos_sigma_db = surroundings.nlos_sigma_db if radio.shadowing_db is None else radio.shadowing_db
        self._step_m = (radio.decorrelation_m or surroundings.decorrelation_m) / _STEPS
        self._common = radio.site_correlation_share
        self._rho = exp(-1.0 / _STEPS)
        self._shared = self._grid("drive/shadowing", 0.0, end_m)

    def loss_db(self, tower: str, travelled_m: Floats, mean_db: Floats, chance: Floats) -> Floats:
        """Loss along `travelled_m` with shadowing, shape as it: sigma between LOS and NLOS by P(LOS)."""
        own = self._grid(f"drive/shadowing/{tower}", float(travelled_m[0]), float(travelled_m[-1]))
        shared, separate = np.sqrt(self._common), np.sqrt(1.0 - self._common)
        field = shared * self._at(self._shared, travelled_m) + separate * self._at(own, travelled_m)
        drawn: Floats = mean_db + (chance * self._los_sigma_db + (1.0 - chance) * self._nlos_sigma_db) * field
        return drawn

    def _grid(self, purpose: str, low_m: float, high_m: float) -> tuple[Floats, int]:
        """(values, index of the first one) of the correlated grid from `low_m` to `high_m`."""
        first = max(0, floor(low_m / self._step_m) - _MEMORY)
        normals = Stream(*self._key, purpose).normals(floor(high_m / self._step_m) + 3 - first, first)
        return correlated(normals, self._rho), first

    def _at(self, grid: tuple[Floats, int], travelled_m: Floats) -> Floats:
        values, first = grid
        return at_positions(values, travelled_m / self._step_m - first, self._rho)
