"""Checks across settings that go as far as the settings are right.

A setting that is wrong in itself is WRONG in the dataclass that holds it. A check is a generator: it yields what it finds,
and further checks where there are many of a kind. One that comes to need what is WRONG ends there, since all it could say
would follow from what has been said already; the others go on. So a check says nothing about which settings it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias, TypeVar

Found = TypeVar("Found")
#: Yields what is wrong, or checks that go on by themselves.
Check: TypeAlias = "Iterator[Found | Check[Found]]"


class NeedsWrong(Exception):
    """A value was needed that is wrong."""


class Wrong:
    """Stands in the place of a value that is wrong: it is there (`is not None`), and any use of it raises NeedsWrong."""

    __slots__ = ()

    def __getattr__(self, _name: str) -> NoReturn:
        raise NeedsWrong

    def __repr__(self) -> str:
        return "WRONG"


def _needed(*_arguments: Any) -> NoReturn:
    raise NeedsWrong


_USES = (
    "eq ne lt le gt ge hash bool len iter next contains getitem call str format int float index abs neg round "
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow"
)
for _name in _USES.split():
    setattr(Wrong, f"__{_name}__", _needed)

#: Any, since it stands for settings of every type.
WRONG: Any = Wrong()


def found(check: Check[Found]) -> Iterator[Found]:
    """All that a check and those within it find."""
    try:
        for one in check:
            if isinstance(one, Iterator):
                yield from found(one)
            else:
                yield one
    except NeedsWrong:
        return
