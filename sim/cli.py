"""The command line: it parses, calls and prints.

Exit codes: 0 ok; 1 an objective was missed; 2 a bad scenario or usage; 3 a defect of the lab; 130 interrupted.
Heavy libraries are imported in the commands that need them, so that --help answers at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sim import cli_files, cli_search, cli_studies
from sim.cli_codes import BAD_USAGE, INTERRUPTED, MISSED, OK, BadUsage, verdict
from sim.study import interrupts

_PROGRAM = "python -m sim"
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer offers its base only so, and has had it from two packages
_EPILOG = "Exit codes: 0 ok, 1 an objective missed, 2 bad scenario or usage, 3 a defect of the lab, 130 interrupted."

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Simulates how a vehicle stays reachable while its address changes, and compares strategies on the same drives.",
    epilog=_EPILOG,
)
_debug = False
_told = False  # that the command was interrupted

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="scenario file")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="folder of a run, below results/")]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object on stdout and nothing else there")]


class TLSProfile(StrEnum):
    CLASSICAL = "classical"
    HYBRID = "hybrid"
    PQC = "pqc"


class TLSSignature(StrEnum):
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; never a traceback, unless --debug asks for it."""
    global _debug, _told
    _told = False
    words = list(sys.argv[1:] if arguments is None else arguments)
    _debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    _open_streams()
    code = _carried_out(words)
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        # what is still buffered must not fail again when the interpreter exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            code = _refused(f"stdout: {error.strerror or error}")
    return code


def _carried_out(words: list[str]) -> int:
    try:
        code = app(words, prog_name=_PROGRAM, standalone_mode=False)
    except _UsageError as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit:  # typer's answer to a reader of --help that has gone
        return OK
    except OSError as error:  # typer's own printing, of --help
        return _refused(f"stdout: {error.strerror or error}")
    if code == INTERRUPTED and not _told:  # before or after the command's own code
        return _interrupted()
    return code if isinstance(code, int) else OK


def _interrupted(text: str = "interrupted") -> int:
    global _told
    interrupts.take_note()
    _told = True
    with contextlib.suppress(OSError):  # plain: a half-imported module must not get in the way now
        print(text, file=sys.stderr, flush=True)
    return INTERRUPTED


def _refused(line: str) -> int:
    from sim.terminal import say

    say(line, error=True)
    return BAD_USAGE


def _open_streams() -> None:
    """A stream that the caller has closed (`>&-`) is one that takes nothing; else a file of ours would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open as long as the program runs


def _usage(error: Any) -> int:
    """What typer finds wrong with the words, as one line; without any words, the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return BAD_USAGE
    command = error.ctx.command_path if error.ctx is not None else _PROGRAM
    text = " ".join(error.format_message().split()).removesuffix(".").replace("Value error, ", "")
    return _refused(f"{command}: {text[:1].lower()}{text[1:]} (`{command} -h` shows what is allowed)")


def _command(function: Callable[..., int | None]) -> Callable[..., None]:
    """Turn what a command raises into a line on stderr and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs) or OK
        except KeyboardInterrupt:
            code = _interrupted()
        except (Exception, SystemExit) as error:  # SystemExit: of a user's strategy, no command has one
            code = _interrupted() if interrupts.came() else _failed(error)
        raise typer.Exit(code)

    return wrapped


def _failed(error: BaseException) -> int:
    from sim.scenario.document import printable
    from sim.terminal import say

    if _debug:
        traceback.print_exception(error)
    code, lines = verdict(error)
    for line in lines:
        say(printable(line), error=True)
    return code


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of a defect; works after a command too")] = False,
) -> None:
    pass  # main() has taken --debug out already, wherever it stood


@app.command(epilog=_EPILOG)
@_command
def run(
    file: FileArgument,
    strategy: Annotated[list[str] | None, typer.Option(help="run this one only; repeatable")] = None,
    replications: Annotated[int | None, typer.Option(help="number of drives")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of all draws")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="change a key, as in server.tls=pqc or hybrid.poll='10 s'; repeatable"),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=A,B,C", help="run values side by side, as in hybrid.poll='10 s,30 s'; repeatable"),
    ] = None,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="processes; all cores where not given")] = None,
    out: Annotated[Path, typer.Option(help="folder of all results")] = Path("results"),
    no_fold: Annotated[bool, typer.Option("--no-fold", help="simulate every event singly: the same results, slower")] = False,
    json: JsonOption = False,
    no_inputs: Annotated[bool, typer.Option("--no-inputs", help="store hashes of the input files instead of copies")] = False,
    precision: cli_studies.PrecisionOption = None,
    most_drives: cli_studies.MostOption = 1000,
    strict: cli_studies.StrictOption = False,
    junit: cli_studies.JUnitOption = None,
) -> int:
    """Run a scenario, print a summary and write a report."""
    from sim.scenario.load import load_with_warnings
    from sim.terminal import any_missed, json_object, nothing_else_on_stdout, print_summary, progress, say

    with nothing_else_on_stdout(json):
        scenario, warnings = load_with_warnings(
            file, sets=set_ or (), varies=vary or (), strategies=strategy or (), replications=replications, seed=seed
        )
        for line in warnings:
            say(f"warning: {line}", error=True)

        cli_studies.require_junit(junit, BadUsage)
        from sim.study.run import run_scenario
        from sim.study.run_folder import require_writable

        require_writable(out / scenario.name)
        if precision is not None:
            scenario = cli_studies.precise(scenario, precision, most_drives, jobs or _cores(), out, BadUsage)
        with progress(scenario.name) as show:
            result = run_scenario(
                scenario,
                jobs=jobs or _cores(),
                out=out,
                fold=not no_fold,
                keep_inputs=not no_inputs,
                progress=show,
                command=_said(),
                warnings=warnings,
            )
        report = result.run_dir / "report.html"
    if json:
        say(json_object(result.metrics, result.run_dir, warnings))
    else:
        print_summary(result.metrics, result.run_dir, report)
    if junit is not None:
        cli_studies.write_objectives(result.metrics, junit, strict, BadUsage)
    return MISSED if any_missed(result.metrics, strict) else OK


cli_files.register(app, _command)


@app.command()
@_command
def explain(
    run_dir: RunArgument,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="ota:3 is the third chunk; or the id of a message")],
    strategy: Annotated[str | None, typer.Option(help="one strategy; all of them where not given")] = None,
    replication: Annotated[int | None, typer.Option(help="number of the drive, from 0; the first where not given")] = None,
    vehicle: Annotated[int | None, typer.Option(help="of a fleet: number of the vehicle; the first five are kept")] = None,
) -> None:
    """Print what happened to one message, step by step."""
    _require_run(run_dir)
    from sim.measure.explain import ExplainError
    from sim.measure.explain import explain as explain_message
    from sim.record.read import RunFolderError
    from sim.terminal import say

    try:
        say(explain_message(run_dir, message, strategy, replication, vehicle).rstrip())
    except (ExplainError, RunFolderError) as error:
        raise BadUsage(str(error)) from None


@app.command()
@_command
def report(run_dir: RunArgument) -> None:
    """Make the reports of a run, of a validation or of a sweep again, from its files alone."""
    _require_run(run_dir)
    from sim.record.read import RunFolderError
    from sim.report.any_page import write_any_report
    from sim.terminal import say

    try:
        for path in write_any_report(run_dir):
            say(f"report: {path}")
    except RunFolderError as error:
        raise BadUsage(str(error)) from None


_STORE_HELP = "where the server keeps addresses and pending messages: memory, redis (the lab's own), or redis://HOST:PORT/DB"
_BROKER_HELP = "embedded (our own), mosquitto, rabbitmq, aedes, aedes_memory, amqtt, or HOST:PORT of a running one"


@app.command()
@_command
def live(
    file: FileArgument,
    broker: Annotated[str, typer.Option(help=_BROKER_HELP)] = "embedded",
    link: Annotated[str, typer.Option(help="loopback, or packet (Linux, root: real TCP in namespaces)")] = "loopback",
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="start of the part of the drive, as 60 s")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="end of the part of the drive, as 3 min")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="run this one only; repeatable")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key; repeatable")] = None,
    client: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="run this program as the vehicle: 'mosquitto_sub -h {host} -p {port} -i {client_id}'"),
    ] = None,
    certificates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="take these, made by `certificates`; new ones where not given")
    ] = None,
    store: Annotated[str, typer.Option(help=_STORE_HELP)] = "memory",
    out: Annotated[Path, typer.Option(help="folder of all results")] = Path("results"),
    json: JsonOption = False,
) -> int:
    """Run a scenario's strategies in real time over real sockets; the same report."""
    _require_live()
    from sim.live.client_command import parse_command, require_program
    from sim.report.page import write_report
    from sim.study.live import run_live, with_client
    from sim.study.run_folder import require_writable
    from sim.terminal import any_missed, json_object, nothing_else_on_stdout, print_summary, progress, say

    with nothing_else_on_stdout(json):
        planned = _plan(file, strategy, set_, from_, until)
        require_writable(out / planned.scenario.name)
        with _live_errors(file):
            if client is not None:
                if link != "packet":
                    raise BadUsage("--client needs --link packet: the program runs in the vehicle's own network namespace")
                program = parse_command(client)
                planned = with_client(planned, program, beside=bool(strategy))
                require_program(program)
            with progress(planned.scenario.name) as show:
                result = run_live(
                    planned,
                    broker,
                    link,
                    certificates=certificates,
                    store=store,
                    out=out,
                    command=_said(),
                    say=lambda text: say(text, error=True),
                    progress=show,
                )
        report = write_report(result.run_dir)
    if json:
        say(json_object(result.metrics, result.run_dir))
    else:
        print_summary(result.metrics, result.run_dir, report)
    for note in result.notes:
        say(note, error=True)
    if result.interrupted:
        return _interrupted("interrupted: what was recorded until then is kept")
    return MISSED if any_missed(result.metrics) or result.client_failed else OK


@app.command()
@_command
def validate(
    file: FileArgument,
    broker: Annotated[str, typer.Option(help=_BROKER_HELP)] = "embedded",
    link: Annotated[str, typer.Option(help="loopback, or packet (Linux, root: real TCP in namespaces)")] = "loopback",
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="start of the part of the drive")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="end of the part of the drive")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="validate this one only; repeatable")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key; repeatable")] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="EVENTS.CSV", help="compare the model with a field log instead of a live run")
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="so many live runs; all have to agree")] = 1,
    store: Annotated[str, typer.Option(help=_STORE_HELP)] = "memory",
    out: Annotated[Path, typer.Option(help="folder of all results")] = Path("results"),
    json: JsonOption = False,
) -> int:
    """Run model and live on the same drive and print how far they disagree; exit code 1 beyond the tolerance."""
    _require_live()
    from sim.measure.field_log import FieldLogError
    from sim.report.page import write_report
    from sim.report.validation_page import write_validation
    from sim.study.run_folder import require_writable
    from sim.study.validation import validate as run_validation
    from sim.study.validation import validate_against
    from sim.terminal import nothing_else_on_stdout, print_validation, progress, say, validation_json

    with nothing_else_on_stdout(json):
        planned = _plan(file, strategy, set_, from_, until)
        require_writable(out / planned.scenario.name)
        if against is not None:
            try:
                found = validate_against(planned, against, out=out, command=_said())
            except FieldLogError as error:
                raise BadUsage(str(error)) from None
        else:
            with _live_errors(file), progress(planned.scenario.name) as show:
                found = run_validation(
                    planned,
                    broker,
                    link,
                    runs=runs,
                    store=store,
                    out=out,
                    command=_said(),
                    say=lambda text: say(text, error=True),
                    progress=show,
                )
            for comparison in found.comparisons:
                write_report(comparison.run_dir)
        report = write_validation([comparison.run_dir for comparison in found.comparisons])
    if json:
        say(validation_json(found, report))
    else:
        print_validation(found, report)
    if any(comparison.run.manifest.get("interrupted") for comparison in found.comparisons):
        return _interrupted("interrupted: what was recorded until then is kept and compared")
    return OK if found.agrees else MISSED


def _plan(file: str, strategy: list[str] | None, sets: list[str] | None, from_: str | None, until: str | None) -> Any:
    """The scenario's first drive, cut to the window that was asked for."""
    from sim.scenario.load import load_with_warnings
    from sim.scenario.quantities import parse_quantity
    from sim.study.live import ModelOnly, plan
    from sim.terminal import say

    scenario, warnings = load_with_warnings(file, sets=sets or (), strategies=strategy or ())
    for line in warnings:
        say(f"warning: {line}", error=True)
    try:
        start_s = parse_quantity(from_, "duration") if from_ else 0.0
        end_s = parse_quantity(until, "duration") if until else None
        return plan(scenario, from_s=start_s, until_s=end_s, sets=sets or ())
    except ValueError as error:
        raise BadUsage(f"--from, --until: {error}") from None
    except ModelOnly as error:
        raise BadUsage(f"{file}: {error}") from None


@contextlib.contextmanager
def _live_errors(file: str = "") -> Iterator[None]:
    """What is not to be had on this machine, or of what is in `file`, is said in one line."""
    from sim.live.brokers import BrokerUnavailable
    from sim.live.client_command import CommandRefused
    from sim.live.names.name_server import NamesUnavailable
    from sim.live.packages import PackagesMissing
    from sim.live.run_certificates import CertificatesUnusable
    from sim.live.session import LiveFailed
    from sim.live.store.place import StoreUnavailable
    from sim.study.live import ModelOnly

    refusals = (BrokerUnavailable, CertificatesUnusable, CommandRefused, LiveFailed, NamesUnavailable, PackagesMissing)
    try:
        yield
    except ModelOnly as error:
        raise BadUsage(f"{file}: {error}") from None
    except (*refusals, StoreUnavailable) as error:
        raise BadUsage(str(error)) from None


def _require_live() -> None:
    from sim.live.packages import WIRE, PackagesMissing, require

    try:
        require(WIRE, "live")
    except PackagesMissing as error:
        raise BadUsage(str(error)) from None


def _said() -> str:
    """The command, for the manifest; a URL with a password in it may be meant for a store."""
    from sim.live.store.place import without_password

    return f"{_PROGRAM} " + shlex.join(without_password(word) for word in sys.argv[1:])


@app.command()
@_command
def broker(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port; 0: a free one")] = 1883,
    preset: Annotated[str, typer.Option(help="whose behaviour; `python -m sim list presets` shows them")] = "spec",
    refuse: Annotated[
        list[str] | None, typer.Option(metavar="FILTER", help="answer SUBSCRIBE to this topic filter with 0x80; repeatable")
    ] = None,
    keep_alive_max: Annotated[
        int, typer.Option(min=0, max=65535, help="MQTT 5: longest keep alive in s, told as Server Keep Alive; 0: no limit")
    ] = 60,
    cert: Annotated[Path | None, typer.Option(help="serve in TLS, with this certificate and its chain")] = None,
    key: Annotated[Path | None, typer.Option(help="its key")] = None,
    ca: Annotated[Path | None, typer.Option(help="the authority whose certificate a client has to show")] = None,
) -> None:
    """Serve the broker machine: MQTT 3.1.1 and 5 over TCP or TLS, without authentication. Ctrl-C ends it with exit code 0."""
    from sim.live.broker_command import UnknownPreset, UnusableCertificate, serve, tls_of
    from sim.live.broker_service import CannotListen
    from sim.terminal import say

    try:
        serve(host, port, preset, refuse or (), keep_alive_max, say, tls_of(cert, key, ca))
    except (CannotListen, UnknownPreset, UnusableCertificate) as error:
        raise BadUsage(str(error)) from None


@app.command()
@_command
def api(
    host: Annotated[str, typer.Option(help="IPv4 address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port; 0: a free one")] = 8443,
    vin: Annotated[list[str] | None, typer.Option(metavar="VIN", help="a vehicle; repeatable; VIN123 where not given")] = None,
    name: Annotated[str, typer.Option(metavar="HOST", help="name of the server, and of its zone")] = "ota-server.company.com",
    certificates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="mutual TLS, with what `certificates` has written; else plain HTTP")
    ] = None,
    profile: Annotated[TLSProfile, typer.Option(help="of TLS; curl may know classical alone")] = TLSProfile.HYBRID,
    store: Annotated[str, typer.Option(help=_STORE_HELP)] = "memory",
    keys: Annotated[str, typer.Option(metavar="PREFIX", help="what its keys in Redis begin with")] = "handover-lab:api",
    dns_port: Annotated[int, typer.Option(min=0, max=65535, help="port of the name server; 0: a free one")] = 0,
    dns_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="key of dynamic updates, as nsupdate -k takes it; made where not there")
    ] = None,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="TTL of the names")] = "60 s",
) -> None:
    """Serve the vehicles' HTTPS API, its store and its name server on their own. Ctrl-C ends it with exit code 0."""
    _require_live()
    from sim.live.api_command import APIOptions, APIRefused, serve
    from sim.live.packages import REDIS, TLS, PackagesMissing, require
    from sim.scenario.quantities import parse_quantity
    from sim.terminal import say

    try:
        if certificates is not None:
            require(TLS, "--certificates")
        if store != "memory":
            require(REDIS, "--store")
        ttl_s = parse_quantity(ttl, "duration")
    except PackagesMissing as error:
        raise BadUsage(str(error)) from None
    except ValueError as error:
        raise BadUsage(f"--ttl: {error}") from None
    vins = list(dict.fromkeys(vin or ["VIN123"]))
    options = APIOptions(host, port, vins, name, certificates, profile.value, store, keys, dns_port, dns_key, ttl_s)
    with _live_errors():
        try:
            serve(options, say)
        except APIRefused as error:
            raise BadUsage(str(error)) from None


@app.command()
@_command
def certificates(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="folder to write to; made where it is not there")],
    profile: Annotated[TLSProfile, typer.Option(help="classical and hybrid: ECDSA P-256; pqc: ML-DSA")] = TLSProfile.HYBRID,
    signature: Annotated[TLSSignature, typer.Option(help="of the profile pqc")] = TLSSignature.ML_DSA_44,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="name or address of the server, its main name first; repeatable; else the seed's"),
    ] = None,
    vin: Annotated[list[str] | None, typer.Option(metavar="VIN", help="a vehicle; repeatable; VIN123 where not given")] = None,
) -> None:
    """Make certificates for a server and its vehicles: ca.crt, server.crt, server.key, vmg.crt, vmg.key. Overwrites nothing."""
    from sim.live.packages import TLS, PackagesMissing, require
    from sim.terminal import say

    try:
        require(TLS, "certificates")
    except PackagesMissing as error:
        raise BadUsage(str(error)) from None
    from sim.live.certificates import CertificatesRefused, issue, write
    from sim.protocols.server import SECOND_NAME, Server

    seed = Server()
    try:
        made = issue(name or [seed.name, SECOND_NAME, seed.address], vin or ["VIN123"], profile.value, signature.value)
        written = write(made, directory)
    except CertificatesRefused as error:
        raise BadUsage(str(error)) from None
    say(f"wrote {', '.join(path.name for path in written)} to {directory}; valid for a year")


@app.command()
@_command
def probe(
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="where the broker listens")],
    tls: Annotated[
        str | None, typer.Option(metavar="CA_FILE", help="speak TLS; the authority to trust, or `system` for the machine's own")
    ] = None,
    cert: Annotated[Path | None, typer.Option(help="the client's certificate, for mutual TLS")] = None,
    key: Annotated[Path | None, typer.Option(help="its key")] = None,
    username: Annotated[str | None, typer.Option(help="in every CONNECT; the client id where not given")] = None,
    password: Annotated[str | None, typer.Option(help="in every CONNECT; none where not given")] = None,
    json: JsonOption = False,
) -> None:
    """Find out how a broker behaves and print it as a preset; about half a minute, two at most."""
    import json as json_module

    from sim.study.probe import ProbeFailed, Target, probe_broker
    from sim.terminal import say

    try:
        where = Target.parse(target, authority=tls or "", certificate=cert, key=key, username=username, password=password)
        found = probe_broker(where, lambda text: say(text, error=True))
    except ProbeFailed as error:
        raise BadUsage(str(error)) from None
    say(json_module.dumps(found.as_json(), indent=2) if json else found.as_yaml().rstrip())


@app.command()
@_command
def bench(
    vehicles: Annotated[int, typer.Option(min=1, max=1_000_000, help="vehicles of the fleet workload")] = 1000,
    hours: Annotated[float, typer.Option(min=0.001, max=1000.0, help="simulated hours")] = 1.0,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=2, max=1024, help="instead: a sweep with so many processes against one")
    ] = None,
    no_fold: Annotated[bool, typer.Option("--no-fold", help="simulate every event singly: the same results, slower")] = False,
    json: JsonOption = False,
) -> None:
    """Measure the speed of the simulation on the fixed fleet workload."""
    import json as json_module

    from sim.study.bench import bench as run_bench
    from sim.study.scaling import scaling
    from sim.terminal import nothing_else_on_stdout, say

    with nothing_else_on_stdout(json):
        figures = run_bench(vehicles, hours, fold=not no_fold) if jobs is None else scaling(jobs)
    if json:
        say(json_module.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        say(f"{name:<32} {value:,.3f}" if isinstance(value, float) else f"{name:<32} {value}")


def _require_run(run_dir: Path) -> None:
    if not (run_dir / "manifest.json").is_file():
        raise BadUsage(f"{run_dir}: is not the folder of a run, it has no manifest.json")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


cli_studies.register(app, _command, _said, _cores, BadUsage)
cli_search.register(app, _command, _said, _cores, BadUsage)
