"""Certificates of a lab: root, one intermediate, the server's, and one for each vehicle (RFC 5280, RFC 9881 for ML-DSA).

Everybody shows leaf and intermediate and trusts the root alone. A vehicle's certificate bears its VIN as common name and its
host name as alternative name; the server connects to vehicles too, so each leaf may be client and server. The keys of root
and intermediate exist while the certificates are made and are never written: a lab's certificates cannot be added to.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sim.live.vin import VIN

Profile = Literal["classical", "hybrid", "pqc"]
Signature = Literal["ml-dsa-44", "ml-dsa-65"]
Key = ec.EllipticCurvePrivateKey | mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey

_VALID_FOR = timedelta(days=365)
_CLOCKS_DIFFER_BY = timedelta(hours=1)
_HOST = re.compile(r"(?=.{1,253}\Z)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_ORGANISATION = (
    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Handover Lab"),
    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Vehicle communication"),
)
_CA_USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
_LEAF_USAGE = x509.KeyUsage(True, False, False, False, False, False, False, False, False)


class CertificatesRefused(Exception):
    """What was asked for cannot be made; one line."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One party's certificate with its chain, and its key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Certificates:
    """All certificates of a lab, as PEM: the root's alone, leaf and intermediate of the others."""

    root: bytes
    server: Issued
    vehicles: dict[str, Issued]  # by VIN


def vehicle_host(vin: str, server_name: str) -> str:
    """The host name in a vehicle's certificate."""
    return f"{vin.lower()}.vehicles.{server_name}"


def issue(
    server_names: Sequence[str], vins: Sequence[str], profile: Profile = "hybrid", signature: Signature = "ml-dsa-44"
) -> Certificates:
    """Make new keys and certificates. The first of `server_names` (host names, addresses) is the server's name.

    Raises:
        CertificatesRefused: a name or VIN that cannot stand in a certificate.
    """
    _check(server_names, vins)
    new_key = _key_maker(profile, signature)
    name = server_names[0]
    root_key, intermediate_key = new_key(), new_key()
    root = _sign(_named("Handover Lab Root"), root_key, _named("Handover Lab Root"), root_key, name, path_length=1)
    intermediate = _sign(_named("Handover Lab CA"), intermediate_key, root.subject, root_key, name, path_length=0)

    def leaf(common_name: str, names: Sequence[str]) -> Issued:
        key = new_key()
        found = _sign(_named(common_name), key, intermediate.subject, intermediate_key, name, names=names)
        return Issued(_pem(found) + _pem(intermediate), _key_pem(key))

    return Certificates(_pem(root), leaf(name, server_names), {vin: leaf(vin, [vehicle_host(vin, name)]) for vin in vins})


def write(made: Certificates, folder: Path) -> list[Path]:
    """Write ca.crt, server.crt, server.key, and vmg.crt, vmg.key of the first vehicle; vmg-VIN.* of the others.

    Keys are readable by their owner alone. Returns what was written.

    Raises:
        CertificatesRefused: one of the files is there already, or they cannot all be written; then none is.
    """
    files: dict[str, bytes] = {"ca.crt": made.root, "server.crt": made.server.certificate, "server.key": made.server.key}
    for number, (vin, issued) in enumerate(made.vehicles.items()):
        stem = f"vmg-{vin}" if number else "vmg"
        files |= {f"{stem}.crt": issued.certificate, f"{stem}.key": issued.key}
    made_here = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if folder.exists() and not folder.is_dir():
            raise CertificatesRefused(f"{folder}: is no folder")
        _refuse_overwriting(folder, files)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".certificates-", dir=folder) as unseen:
            for name, content in files.items():
                _write_new(Path(unseen, name), content, 0o600 if name.endswith(".key") else 0o644)
            # all of them fit: only now does anything appear, and a file made meanwhile is not overwritten
            _refuse_overwriting(folder, files)
            for name in files:
                Path(unseen, name).rename(folder / name)
    except OSError as error:
        for path in made_here:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise CertificatesRefused(f"{folder}: the certificates cannot be written: {error.strerror or error}") from None
    return [folder / name for name in files]


def _refuse_overwriting(folder: Path, names: Iterable[str]) -> None:
    there = next((folder / name for name in names if os.path.lexists(folder / name)), None)
    if there is not None:
        raise CertificatesRefused(f"{there} is there already; nothing is overwritten")


def read(folder: Path, server_name: str, vins: Sequence[str]) -> Certificates:
    """What `write` has written, for a server of this name and these vehicles.

    Raises:
        CertificatesRefused: a file is missing or is none, or a certificate is somebody else's.
    """
    root = _read(folder / "ca.crt")
    server = Issued(_read(folder / "server.crt"), _read(folder / "server.key"))
    names = _certificate(folder / "server.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if server_name not in names.get_values_for_type(x509.DNSName):
        raise CertificatesRefused(f"{folder / 'server.crt'} is not for {server_name}")
    vehicles = {}
    for number, vin in enumerate(vins):
        stem = f"vmg-{vin}" if number else "vmg"
        path = folder / f"{stem}.crt"
        common = [str(one.value) for one in _certificate(path).subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if common != [vin]:
            raise CertificatesRefused(f"{path} is for {', '.join(common) or 'nobody'}, the vehicle is {vin}")
        vehicles[vin] = Issued(_read(path), _read(folder / f"{stem}.key"))
    return Certificates(root, server, vehicles)


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # nobody may fill a pipe
        raise CertificatesRefused(f"{path} is no regular file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificatesRefused(f"{path}: {error.strerror}; python -m sim certificates {path.parent} makes them") from None


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise CertificatesRefused(f"{path} is no certificate") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # the mode is there from the beginning
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def _check(server_names: Sequence[str], vins: Sequence[str]) -> None:
    if not server_names or not _HOST.match(server_names[0]) or _is_address(server_names[0]):
        raise CertificatesRefused("the first name has to be the server's host name")
    for name in server_names:
        if not _is_address(name) and not _HOST.match(name):
            raise CertificatesRefused(f"{name!r} is neither a host name nor an address")
    if len(server_names[0]) > 64:
        raise CertificatesRefused(f"{server_names[0]!r} is longer than a common name may be, 64 characters")
    for vin in vins:
        if not VIN.fullmatch(vin):
            raise CertificatesRefused(f"{vin!r} is no VIN: letters, digits and hyphens, 50 at most")
    if len({vin.lower() for vin in vins}) < len(vins):
        raise CertificatesRefused("two vehicles have the same VIN")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _key_maker(profile: Profile, signature: Signature) -> Callable[[], Key]:
    if profile != "pqc":
        return lambda: ec.generate_private_key(ec.SECP256R1())
    return mldsa.MLDSA44PrivateKey.generate if signature == "ml-dsa-44" else mldsa.MLDSA65PrivateKey.generate


def _named(common_name: str) -> x509.Name:
    return x509.Name([*_ORGANISATION, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _sign(
    subject: x509.Name, key: Key, issuer: x509.Name, issuer_key: Key, server_name: str, *,
    names: Sequence[str] = (), path_length: int | None = None,
) -> x509.Certificate:  # fmt: skip
    """A certificate of an authority (`path_length`), or of a party with `names`."""
    now = datetime.now(UTC)
    of_authority = path_length is not None
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER_BY)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=of_authority, path_length=path_length), critical=True)
        .add_extension(_CA_USAGE if of_authority else _LEAF_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    if subject != issuer:
        # nobody fetches these; a fleet's certificates have them and a handshake's size depends on them
        at = f"http://pki.{server_name}"
        builder = builder.add_extension(
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.UniformResourceIdentifier(f"{at}/ca.crl")], None, None, None)]
            ),
            critical=False,
        ).add_extension(
            x509.AuthorityInformationAccess(
                [
                    x509.AccessDescription(
                        x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(f"{at}/ca.crt")
                    )
                ]
            ),
            critical=False,
        )
    if not of_authority:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return builder.sign(issuer_key, hashes.SHA256() if isinstance(issuer_key, ec.EllipticCurvePrivateKey) else None)


def _alternative(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
