"""`python -m sim probe`: run the exchanges against a broker, and write what was seen as a preset."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sim.live.probe.client import NoAnswer, Peer
from sim.live.probe.findings import Findings, same
from sim.live.probe.script import new_run, probe
from sim.protocols.broker_presets import PRESETS, Broker
from sim.scenario.models import keys_of, text_of

BASE = "spec"  # what was not observed stands as the standard says, and as in nobody's product


class ProbeFailed(RuntimeError):
    """There is nothing to probe; one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the broker is and how it is spoken to. `authority`: file of the CA, "system", or "" for no TLS."""

    host: str
    port: int
    authority: str = ""
    certificate: Path | None = None
    key: Path | None = None
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str, **more: Any) -> Target:
        """HOST:PORT. Raises ProbeFailed."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ProbeFailed(f"{text!r} is not HOST:PORT, as 127.0.0.1:1883")
        return cls(host.strip("[]"), int(port), **more)

    def peer(self) -> Peer:
        """What the exchanges need. Raises ProbeFailed where a file of TLS cannot be used."""
        password = self.password.encode() if self.password is not None else None
        return Peer(self.host, self.port, new_run(), self._context(), self.username, password)

    def _context(self) -> ssl.SSLContext | None:
        if not self.authority:
            return None
        files = [Path(self.authority)] if self.authority != "system" else []
        for path in (*files, self.certificate, self.key):
            if path is not None and not path.is_file():  # a pipe too, which nobody may fill
                raise ProbeFailed(f"TLS: {path}: {'is no regular file' if path.exists() else 'No such file or directory'}")
        try:
            context = ssl.create_default_context(cafile=None if self.authority == "system" else self.authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ProbeFailed(f"TLS: {error.strerror or error}") from None
        return context


@dataclass(frozen=True, slots=True)
class Probed:
    """What was seen of the broker at `where`, and when."""

    where: str
    at: str
    found: Findings

    def nearest(self) -> tuple[list[str], int]:
        """The presets that agree with most of what was seen, and how many values do."""
        found = self.found
        scores = {
            name: sum(same(field, value, getattr(behaviour, field)) for field, value in found.seen.items())
            for name, (behaviour, _line) in PRESETS.items()
        }
        best = max(scores.values())
        return [name for name, score in scores.items() if score == best], best

    def as_json(self) -> dict[str, Any]:
        """For --json; infinite values as null."""
        found = self.found
        names, agree = self.nearest()
        return {
            "broker": self.where,
            "at": self.at,
            "base_preset": BASE,
            "seen": {name: _finite(value) for name, value in found.seen.items()},
            "at_least": found.at_least,
            "not_observed": found.not_observed,
            "notes": found.notes,
            "nearest_presets": names,
            "values_that_agree": agree,
        }

    def as_yaml(self) -> str:
        """The part of a scenario file that makes the model behave as was seen."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        found = self.found
        names, agree = self.nearest()
        yield f"# {self.where}, probed {self.at}"
        for note in found.notes:
            yield f"# {note}"
        yield f"# nearest of the lab's presets: {', '.join(names)}, {agree} of {len(found.seen)} values seen agree"
        yield "server:"
        yield "  broker:"
        yield f"    preset: {BASE}"
        keys = {key.field.name: (name, key.kind) for name, key in keys_of(Broker).items()}
        for field, value in found.seen.items():
            if field not in keys:
                yield f"    # {field}: {value} was seen, a scenario cannot set it"
            elif isinstance(value, float) and not math.isfinite(value):
                yield f"    # {keys[field][0]}: no limit was seen, as in the preset"
            else:
                name, kind = keys[field]
                yield f"    {name}: {text_of(value, kind)}"
        for field, least in found.at_least.items():
            yield f"    # {keys.get(field, (field, None))[0]}: at least {least:g}, as in the preset; more was not tried"
        if found.not_observed:
            yield f"# not observed, so as in the preset {BASE}:"
        for field, why in found.not_observed.items():
            yield f"#   {keys.get(field, (field, None))[0]}: {why}"


def probe_broker(target: Target, say: Callable[[str], None] = lambda _text: None) -> Probed:
    """Run the exchanges against a broker; takes about half a minute, at most about two. Raises ProbeFailed."""
    where = f"{target.host}:{target.port}"
    try:
        found = asyncio.run(probe(target.peer(), say))
    except NoAnswer as error:
        raise ProbeFailed(f"{where}: {error}") from None
    return Probed(where, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", found)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
