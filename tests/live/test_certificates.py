"""The lab's certificates: names, chain, files, and the command that makes them."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.x509.verification import PolicyBuilder, Store

from sim.cli import main
from sim.live import packages
from sim.live.certificates import CertificatesRefused, issue, read, write
from sim.live.run_certificates import CertificatesUnusable, run_certificates
from sim.protocols.server import Server
from sim.protocols.tls import TLS
from sim.strategies.context import Context
from sim.strategies.workload import Workload

NAMES = ["ota-server.company.com", "ota-server.com", "52.78.123.45"]
FILES = ["ca.crt", "server.crt", "server.key", "vmg.crt", "vmg.key"]


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.mark.parametrize(
    ("profile", "signature", "kind"),
    [
        ("classical", "ml-dsa-44", ec.EllipticCurvePublicKey),
        ("hybrid", "ml-dsa-44", ec.EllipticCurvePublicKey),
        ("pqc", "ml-dsa-44", mldsa.MLDSA44PublicKey),
        ("pqc", "ml-dsa-65", mldsa.MLDSA65PublicKey),
    ],
)
def test_names_and_keys(profile, signature, kind):
    made = issue(NAMES, ["VIN123", "WVW-7"], profile, signature)
    server, intermediate = x509.load_pem_x509_certificates(made.server.certificate)
    root = x509.load_pem_x509_certificate(made.root)
    assert names_of(server).get_values_for_type(x509.DNSName) == NAMES[:2]
    assert names_of(server).get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(NAMES[2])]
    vehicle, shared = x509.load_pem_x509_certificates(made.vehicles["WVW-7"].certificate)
    assert vehicle.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "WVW-7"
    assert names_of(vehicle).get_values_for_type(x509.DNSName) == ["wvw-7.vehicles.ota-server.company.com"]
    assert shared == intermediate
    for certificate in (root, intermediate, server, vehicle):
        assert isinstance(certificate.public_key(), kind)
    intermediate.verify_directly_issued_by(root)
    server.verify_directly_issued_by(intermediate)
    vehicle.verify_directly_issued_by(intermediate)
    for issued in (made.server, made.vehicles["WVW-7"]):
        key = serialization.load_pem_private_key(issued.key, None)
        assert key.public_key() == x509.load_pem_x509_certificates(issued.certificate)[0].public_key()


def test_a_second_verifier_accepts_the_chain():
    """cryptography's own, which follows the rules of browsers; ECDSA, since it knows no ML-DSA chains."""
    made = issue(NAMES, ["VIN123"], "classical")
    leaf, intermediate = x509.load_pem_x509_certificates(made.server.certificate)
    verifier = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(made.root)]))
    assert len(verifier.build_server_verifier(x509.DNSName("ota-server.com")).verify(leaf, [intermediate])) == 3
    vehicle = x509.load_pem_x509_certificates(made.vehicles["VIN123"].certificate)[0]
    assert verifier.build_client_verifier().verify(vehicle, [intermediate]).subjects


def test_the_name_is_the_one_the_machines_expect():
    context = Context("VIN123", Server(), Workload(), lambda _p: 1.0, lambda _p, _i: 0.5, 0.0, 1.0, "")
    vehicle = x509.load_pem_x509_certificates(issue(NAMES, ["VIN123"]).vehicles["VIN123"].certificate)[0]
    assert names_of(vehicle).get_values_for_type(x509.DNSName) == [context.host]


def test_files(tmp_path: Path):
    written = write(issue(NAMES, ["VIN123", "VIN9"]), tmp_path / "pki")
    assert [path.name for path in written] == [*FILES, "vmg-VIN9.crt", "vmg-VIN9.key"]
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) & (0o077 if path.suffix == ".key" else 0o022) == 0
    assert b"PRIVATE" not in (tmp_path / "pki" / "server.crt").read_bytes()


def test_keys_are_private_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        write(issue(NAMES, ["VIN123"]), tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "vmg.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(CertificatesRefused, match=re.escape(name)):
        write(issue(NAMES, ["VIN123"]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("names", "vins"),
    [
        ([], ["VIN123"]),
        (["52.78.123.45"], ["VIN123"]),
        (["a b"], ["VIN123"]),
        (["good.com", "bad_name!"], ["VIN123"]),
        (["x" * 64 + ".com"], ["VIN123"]),
        (NAMES, ["../VIN123"]),
        (NAMES, [""]),
        (NAMES, ["VIN123", "vin123"]),
    ],
)
def test_what_cannot_stand_in_a_certificate_is_refused(names, vins):
    with pytest.raises(CertificatesRefused):
        issue(names, vins)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = str(tmp_path / "pki")
    assert (
        main(["certificates", folder, "--profile", "pqc", "--signature", "ml-dsa-65", "--name", "a.example", "--vin", "V1"]) == 0
    )
    vehicle = x509.load_pem_x509_certificates((tmp_path / "pki" / "vmg.crt").read_bytes())[0]
    assert names_of(vehicle).get_values_for_type(x509.DNSName) == ["v1.vehicles.a.example"]
    capsys.readouterr()
    assert main(["certificates", folder]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [f"{tmp_path / 'pki' / 'ca.crt'} is there already; nothing is overwritten"]
    assert main(["certificates", str(tmp_path / "other"), "--vin", "a/b"]) == 2
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").write_text("")
    assert main(["certificates", str(tmp_path / "file")]) == 2


def test_keys_of_a_run_are_gone_after_it(tmp_path: Path):
    with run_certificates(Server(), ["VIN123"], tmp_path / "kept") as made:
        assert made is not None
        assert sorted(path.name for path in made.folder.iterdir()) == FILES
        assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
        folder = made.folder
    assert not folder.exists()
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["ca.crt", "server.crt", "vmg.crt"]
    with run_certificates(Server(tls=TLS(profile="none")), ["VIN123"], tmp_path / "none") as made:
        assert made is None
    assert not (tmp_path / "none").exists()


# --- packages ---------------------------------------------------------------------------------------------------------------


_WIRE = {"h11": "0.16.0", "dnspython": "2.9.2"}


def test_what_is_required_is_the_extra_live():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    required = {f"{name}>={'.'.join(map(str, least))}" for name, least in (packages.WIRE | packages.TLS | packages.REDIS).items()}
    assert required <= {one.partition(",")[0] for one in project["optional-dependencies"]["live"]}
    assert not required & set(project["dependencies"])


@pytest.mark.parametrize(
    ("installed", "arguments", "missing"),
    [
        ({}, ["live", "scenarios/seed_message_flow.yaml"], "h11>=0.16, dnspython>=2.9"),
        ({"h11": "0.16.0"}, ["api"], "dnspython>=2.9"),
        (_WIRE, ["live", "scenarios/seed_message_flow.yaml"], "cryptography>=49, pyOpenSSL>=26.4"),
        (_WIRE, ["api", "--store", "redis"], "redis>=8"),
        (_WIRE, ["api", "--certificates", "pki"], "cryptography>=49, pyOpenSSL>=26.4"),
        (
            _WIRE | {"cryptography": "50.0.2", "pyOpenSSL": "26.4.0"},
            ["live", "scenarios/one_handover.yaml", "--store", "redis"],
            "redis>=8",
        ),
        (
            _WIRE | {"cryptography": "48.0.0", "pyOpenSSL": "26.4.0"},
            ["validate", "scenarios/one_handover.yaml"],
            "cryptography>=49",
        ),
        ({"cryptography": "50.0.2"}, ["certificates", "pki"], "pyOpenSSL>=26.4"),
    ],
)
def test_a_missing_package_is_named_in_one_line(installed, arguments, missing, monkeypatch, capsys, tmp_path):
    def version(name: str) -> str:
        if name not in installed:
            raise packages.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(packages, "version", version)
    root = Path(__file__).parents[2]
    arguments = [str(root / word) if word.startswith("scenarios/") else word for word in arguments]
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.endswith(f"needs {missing}: pip install '.[live]'")


def test_the_profile_none_needs_no_tls(monkeypatch):
    monkeypatch.setattr(packages, "version", lambda name: _WIRE[name])
    packages.require(packages.WIRE, "live")
    assert packages._at_least("h11", (0, 16))
    monkeypatch.setattr(packages, "version", lambda _name: "0.15.9rc1")
    assert not packages._at_least("h11", (0, 16))


# --- those of a folder ----------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_again(tmp_path: Path):
    made = issue(NAMES, ["VIN123", "VIN124"], "classical")
    write(made, tmp_path)
    assert read(tmp_path, NAMES[0], ["VIN123", "VIN124"]) == made
    with run_certificates(Server(tls=TLS(profile="classical")), ["VIN123"], tmp_path / "kept", tmp_path) as held:
        assert held is not None
        assert (held.made.server, held.folder) == (made.server, tmp_path)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["ca.crt", "server.crt", "vmg-VIN124.crt", "vmg.crt"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: (folder / "vmg.key").unlink(), "vmg.key: No such file or directory; python -m sim certificates "),
        (lambda folder: (folder / "vmg.crt").write_text("no PEM"), "vmg.crt is no certificate"),
        (lambda folder: (folder / "vmg.crt").write_bytes((folder / "server.crt").read_bytes()), "the vehicle is VIN123"),
        (lambda folder: (folder / "server.crt").write_bytes((folder / "vmg.crt").read_bytes()), "is not for ota-server."),
    ],
)
def test_certificates_of_somebody_else_are_refused_in_a_line(change, line, tmp_path: Path):
    write(issue(NAMES, ["VIN123"], "classical"), tmp_path)
    change(tmp_path)
    server = Server(tls=TLS(profile="classical"))
    with (
        pytest.raises(CertificatesUnusable, match=f"^--certificates: .*{re.escape(line)}") as refused,
        run_certificates(server, ["VIN123"], tmp_path / "kept", tmp_path),
    ):
        pass
    assert "\n" not in str(refused.value)


def test_without_tls_certificates_are_for_nothing(tmp_path: Path):
    with (
        pytest.raises(CertificatesUnusable, match=r"server\.tls is none"),
        run_certificates(Server(tls=TLS(profile="none")), ["VIN123"], tmp_path, tmp_path),
    ):
        pass
