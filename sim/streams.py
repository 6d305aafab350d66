"""Random draws that are addressed, not consumed: (seed, replication, vehicle, purpose, index) -> a number.

Two strategies that make a different number of draws still meet the same drive, because no draw moves a cursor that
another one reads. The generator is Philox 4x64 (Salmon et al., SC'11) keyed by the address, its counter the block of
the index; NumPy's raw stream of it is stable across versions. Distributions are our own inverse transforms.
"""

from __future__ import annotations

import hashlib
from array import array
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_BLOCK: Final = 32  # numbers per refill: small, since vehicles are many (0.3 us a draw)
_NORMAL: Final = NormalDist()
_WORD: Final = 2**64 - 1
_SPARE: Final[list[tuple[np.random.Philox, Any]]] = []  # generators, each with a state to set it to


def stream_key(seed: int, replication: int, vehicle: int, purpose: str) -> int:
    """128-bit key of a stream; a hash, so that adding a purpose or a vehicle shifts nothing."""
    text = f"{seed}/{replication}/{vehicle}/{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big")


class Stream:
    """The draws of one purpose. `uniform(i)` is the same number whenever and however often it is asked for."""

    __slots__ = ("_block", "_block_index", "_key")

    def __init__(self, seed: int, replication: int, vehicle: int, purpose: str) -> None:
        self._key = stream_key(seed, replication, vehicle, purpose)
        self._block_index = -1
        self._block = array("d")

    def uniform(self, index: int) -> float:
        """Number `index` in the open interval (0, 1)."""
        block, offset = divmod(index, _BLOCK)
        if block != self._block_index:
            self._block = array("d", self._raw(block * _BLOCK, _BLOCK).tobytes())  # a third of a list's bytes
            self._block_index = block
        return self._block[offset]

    def exponential(self, index: int, mean: float) -> float:
        """Exponentially distributed draw by inversion."""
        return float(-mean * np.log(self.uniform(index)))

    def normal(self, index: int) -> float:
        """Standard normal draw by inversion (Wichura AS241)."""
        return _NORMAL.inv_cdf(self.uniform(index))

    def uniforms(self, n: int, start: int = 0) -> npt.NDArray[np.float64]:
        """Numbers start .. start + n - 1 as an array of shape (n,)."""
        first = start - start % 4  # the counter of Philox 4x64 counts groups of four numbers
        return self._raw(first, n + start - first)[start - first :]

    def normals(self, n: int, start: int = 0) -> npt.NDArray[np.float64]:
        """Standard normal draws, shape (n,): the same numbers as `normal(i)`."""
        return np.array([_NORMAL.inv_cdf(u) for u in self.uniforms(n, start).tolist()])

    def _raw(self, start: int, n: int) -> npt.NDArray[np.float64]:
        bits = _raw_bits(self._key, start // 4, n)
        # 53 random bits, shifted by half a step so that 0 and 1 never come up
        return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _raw_bits(key: int, counter: int, n: int) -> npt.NDArray[np.uint64]:
    """n numbers of Philox(key=key, counter=counter). A used generator is set anew: to make one costs six times that."""
    state: Any
    try:
        generator, state = _SPARE.pop()  # nobody else has it meanwhile, whatever the threads
    except IndexError:
        generator = np.random.Philox(key=0)
        state = generator.state
        state["buffer_pos"] = 4  # nothing is left of what was drawn before
    place = state["state"]
    place["key"][:] = key & _WORD, key >> 64
    place["counter"][:] = counter, 0, 0, 0
    generator.state = state
    found: npt.NDArray[np.uint64] = generator.random_raw(n)
    _SPARE.append((generator, state))
    return found
