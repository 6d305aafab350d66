"""The certificates of one live run: new ones, whose keys are gone when it ends, or those of a folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.protocols.server import Server

if TYPE_CHECKING:  # a run without TLS needs none of it
    from sim.live.certificates import Certificates


class CertificatesUnusable(Exception):
    """The certificates of a folder cannot be those of this run; one line."""


@dataclass(frozen=True, slots=True)
class RunCertificates:
    made: Certificates
    folder: Path  # ca.crt, vmg.crt, vmg.key ... for programs that take files, as long as the run lasts


@contextlib.contextmanager
def run_certificates(
    server: Server, vins: list[str], keep_in: Path, given: Path | None = None
) -> Iterator[RunCertificates | None]:
    """Make them; None for the profile none. Certificates without keys are kept in `keep_in`.

    Keys are in a folder of their own that only this user can enter, and that is removed at the end. `given`: a folder that
    `certificates` has written, whose files are taken instead. Raises CertificatesUnusable.
    """
    if server.tls.profile == "none":
        if given is not None:
            raise CertificatesUnusable("--certificates: server.tls is none, there is nothing that they are for")
        yield None
        return
    from sim.live.certificates import CertificatesRefused, read, write
    from sim.live.tls_parties import certificates_for

    if given is not None:
        try:
            found = read(given, server.name, vins)
        except CertificatesRefused as error:
            raise CertificatesUnusable(f"--certificates: {error}") from None
        keep_in.mkdir(parents=True, exist_ok=True)
        for file in given.glob("*.crt"):
            (keep_in / file.name).write_bytes(file.read_bytes())
        yield RunCertificates(found, given)
        return
    made = certificates_for(server, vins)
    with tempfile.TemporaryDirectory(prefix="handover-lab-") as name:
        files = write(made, Path(name))
        keep_in.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.suffix == ".crt":
                (keep_in / file.name).write_bytes(file.read_bytes())
        yield RunCertificates(made, Path(name))
