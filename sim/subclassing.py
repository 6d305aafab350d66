"""`mypyc_attr`: marks for the compiler, which the interpreter has no use for.

`allow_interpreted_subclasses`: a user's strategy may make a subclass in plain Python, also where the lab is compiled.
`free_list_len=1`: the memory of an object that was let go serves the next one of its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from mypy_extensions import mypyc_attr
except ImportError:  # the interpreter has no use for the mark; whoever compiles has the package

    def mypyc_attr(*attrs: str, **kwattrs: Any) -> Callable[[Any], Any]:  # type: ignore[misc]
        """Return a decorator that does nothing."""
        return lambda marked: marked


__all__ = ["mypyc_attr"]
