"""How many files this process may have open."""

from __future__ import annotations

import sys


def files_at_most() -> int:
    """Connections for which there are file descriptors, with some left for everything else."""
    if sys.platform == "win32":
        return 1_000
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(16, soft - 64)
