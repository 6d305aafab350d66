"""What a live run needs beyond the core: named in one line where it is missing, before anything is begun."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

#: the extra `live`, without its brokers; a test holds this against pyproject.toml
WIRE: dict[str, tuple[int, ...]] = {"h11": (0, 16), "dnspython": (2, 9)}
TLS: dict[str, tuple[int, ...]] = {"cryptography": (49,), "pyOpenSSL": (26, 4)}
REDIS: dict[str, tuple[int, ...]] = {"redis": (8,)}


class PackagesMissing(RuntimeError):
    """One line: what is missing and how to install it."""


def require(packages: dict[str, tuple[int, ...]], what: str) -> None:
    """Raises PackagesMissing where one of the packages is not installed, or is too old."""
    missing = [f"{name}>={'.'.join(map(str, least))}" for name, least in packages.items() if not _at_least(name, least)]
    if missing:
        raise PackagesMissing(f"{what} needs {', '.join(missing)}: pip install '.[live]'")


def _at_least(name: str, least: tuple[int, ...]) -> bool:
    try:
        found = version(name)
    except PackageNotFoundError:
        return False
    numbers = []
    for part in found.split(".")[: len(least)]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
    return tuple(numbers) >= least
