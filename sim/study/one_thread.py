"""Worker processes compute in one thread each: there are as many of them as cores, and threads beside them only wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

#: Read by polars and by the BLAS of numpy when they are imported.
_VARIABLES = ("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS")


@contextlib.contextmanager
def in_one_thread() -> Iterator[None]:
    """A process that is started meanwhile keeps to one thread, unless the environment says how many."""
    ours = [name for name in _VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
