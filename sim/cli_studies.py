"""Commands for studies of many runs: sweep, compare, units. They parse, call and print, as sim/cli.py does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="scenario file")]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object on stdout and nothing else there")]
OutOption = Annotated[Path, typer.Option(help="folder of all results")]
StrictOption = Annotated[bool, typer.Option("--strict", help="what is not decided counts as missed: exit code 1")]
MetricOption = Annotated[
    list[str] | None, typer.Option("--metric", metavar="METRIC", help="what to show; `list metrics` names them; repeatable")
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        metavar="[METRIC:]WIDTH",
        help="go on until the interval is so narrow: 5%, or all.lost:0.5; the primary metric where none is named",
    ),
]
JUnitOption = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="write the verdicts as JUnit XML")]
MostOption = Annotated[int, typer.Option("--most-drives", min=2, help="limit of --precision")]


def register(
    app: typer.Typer,
    command: Callable[[Callable[..., int | None]], Callable[..., None]],
    said: Callable[[], str],
    cores: Callable[[], int],
    bad_usage: type[Exception],
) -> None:
    """Add the commands to `app`; the rest is what sim/cli.py has for every command."""

    @app.command()
    @command
    def sweep(
        file: FileArgument,
        vary: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KEY=A,B,C",
                help="a further axis, as in link.rtt.median='40 ms,80 ms' or KEY='{from: 1 s, to: 9 s, count: 5}'; repeatable",
            ),
        ] = None,
        strategy: Annotated[list[str] | None, typer.Option(help="run this one only; repeatable")] = None,
        replications: Annotated[int | None, typer.Option(help="number of drives at each point")] = None,
        seed: Annotated[int | None, typer.Option(help="seed of all draws")] = None,
        set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key; repeatable")] = None,
        metric: MetricOption = None,
        precision: PrecisionOption = None,
        most_drives: MostOption = 1000,
        jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="processes; all cores where not given")] = None,
        executor: Annotated[
            str, typer.Option(metavar="local|dask|tcp://HOST:PORT", help="dask: a cluster on this machine; else a Dask scheduler")
        ] = "local",
        force: Annotated[bool, typer.Option("--force", help="run again what the store has")] = False,
        out: OutOption = Path("results"),
        json: JsonOption = False,
    ) -> None:
        """Run the points of a scenario's `sweep:` block and --vary; finished units are kept, so the same command goes on."""
        from sim.scenario.sweep import load_sweep
        from sim.terminal import nothing_else_on_stdout, progress, say

        if executor not in ("local", "dask") and not executor.startswith(("tcp://", "tls://")):
            raise bad_usage(
                f"--executor {executor}: expected local, dask, or the address of a scheduler such as tcp://10.0.0.5:8786"
            )
        with nothing_else_on_stdout(json):
            plan = load_sweep(
                file, sets=set_ or (), varies=vary or (), strategies=strategy or (), replications=replications, seed=seed
            )
            for line in plan.warnings[:10]:
                say(f"warning: {line}", error=True)
            from sim.study.on_dask import ClusterUnusable
            from sim.study.run_folder import require_writable
            from sim.study.survivors import WorkLost
            from sim.study.sweep import run_sweep, shown_metrics
            from sim.terminal_studies import interrupted_sweep, sweep_head

            metrics = shown_metrics(plan, metrics_of(metric, bad_usage))
            require_writable(out / plan.base.name)
            wanted = _precision(precision, metrics[0], most_drives, bad_usage)
            say(sweep_head(plan), error=True)
            work = _work()
            try:
                with progress(plan.base.name) as show:
                    result = run_sweep(
                        plan, jobs=jobs or cores(), out=out, force=force, metrics=metrics, precision=wanted, progress=show,
                        command=said(), say=lambda text: say(text, error=True), work=work, executor=executor,
                    )  # fmt: skip
            except (WorkLost, ClusterUnusable) as error:
                raise bad_usage(str(error)) from None
            except KeyboardInterrupt:
                say(interrupted_sweep(work), error=True)
                raise
        from sim.terminal_studies import print_sweep, sweep_json

        if json:
            say(sweep_json(result))
        else:
            print_sweep(result)

    @app.command()
    @command
    def compare(
        runs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="folders of runs; with --gate two: BASE and HEAD")],
        gate: Annotated[
            list[str] | None,
            typer.Option(metavar="METRIC[:TOLERANCE]", help="HEAD must not be worse, by more than 5% or 2 s; repeatable"),
        ] = None,
        pair: Annotated[
            list[str] | None,
            typer.Option(metavar="BASE=HEAD", help="strategies with different names that belong together; repeatable"),
        ] = None,
        metric: MetricOption = None,
        strict: StrictOption = False,
        junit: JUnitOption = None,
        out: OutOption = Path("results"),
        json: JsonOption = False,
    ) -> int:
        """Compare runs, across scenarios and strategies; with --gate fail where HEAD is shown to be worse than BASE."""
        from sim.record.read import RunFolderError
        from sim.report.comparison import METRICS
        from sim.study.bounds import BoundError
        from sim.study.comparison import compare_runs
        from sim.study.gate import parse_gate
        from sim.study.pairing import NotPaired
        from sim.study.run_folder import require_writable
        from sim.terminal import say
        from sim.terminal_studies import comparison_json, print_comparison

        metrics = metrics_of(metric, bad_usage) or METRICS
        if (gate or pair or junit) and len(runs) != 2:
            raise bad_usage(f"--gate, --pair and --junit compare two runs, BASE and HEAD, not {len(runs)}")
        if (strict or junit) and not gate:
            raise bad_usage("--strict and --junit are about --gate, which is not given")
        require_junit(junit, bad_usage)
        renamed = {}
        for text in pair or ():
            one, equals, other = text.partition("=")
            if not equals or not one.strip() or not other.strip():
                raise bad_usage(f"--pair {text}: expected BASE=HEAD, the names of two strategies")
            renamed[one.strip()] = other.strip()
        gates = []
        for text in gate or ():
            try:
                gates.append(parse_gate(text))
            except BoundError as error:
                raise bad_usage(f"--gate {text}: {error}") from None
        require_writable(out)
        try:
            found = compare_runs(runs, gates=gates, renamed=renamed, metrics=metrics, out=out, command=said())
        except (RunFolderError, NotPaired) as error:
            raise bad_usage(str(error)) from None
        if json:
            say(comparison_json(found))
        else:
            print_comparison(found)
        if found.gate is None:
            return 0
        if junit is not None:
            _write_gate(found, junit, strict, bad_usage)
        return int(found.gate.verdict == "worse" or (strict and found.gate.verdict == "undecided"))

    @app.command()
    @command
    def units(
        clear: Annotated[bool, typer.Option("--clear", help="remove all of them")] = False,
        clear_stale: Annotated[bool, typer.Option("--clear-stale", help="remove those of other versions of the lab")] = False,
        out: OutOption = Path("results"),
    ) -> None:
        """Say how many finished units of sweeps are kept below the results folder; or remove them."""
        from sim.study.unit_store import UnitStore
        from sim.terminal import say

        store = UnitStore(out)
        if clear or clear_stale:
            gone = store.clear(stale_only=not clear)
            say(f"removed {gone.units + gone.stale} units, {gone.n_bytes / 1e6:.1f} MB")
            return
        size = store.size()
        stale = f", {size.stale} of other versions of the lab (--clear-stale removes them)" if size.stale else ""
        say(f"{store.root}: {size.units} units{stale}, {size.n_bytes / 1e6:.1f} MB")


def precise(scenario: Any, text: str, most: int, jobs: int, out: Path, bad_usage: type[Exception]) -> Any:
    """The scenario with as many drives as --precision needs."""
    import dataclasses

    from sim.measure.summary import COMPARED
    from sim.study.precision import drives_for
    from sim.study.survivors import WorkLost
    from sim.terminal import progress, say

    wanted = _precision(text, COMPARED[1], most, bad_usage)
    try:
        with progress(f"{scenario.name}, how many drives") as show:
            n, reached = drives_for(
                scenario, wanted, jobs=jobs, out=out, progress=show, say=lambda line: say(line, error=True)
            )  # fmt: skip
    except WorkLost as error:
        raise bad_usage(str(error)) from None
    if not reached:
        say(f"warning: {n} drives, and no more are allowed, do not reach the precision: {wanted.in_words()}", error=True)
    return dataclasses.replace(scenario, replications=n)


def require_junit(path: Path | None, bad_usage: type[Exception]) -> None:
    """--junit can be written, if it is given: said before the work, not after it."""
    if path is None:
        return
    from sim.report.junit import JUnitNotWritten, require_place

    try:
        require_place(path)
    except JUnitNotWritten as error:
        raise bad_usage(str(error)) from None


def _write(path: Path, suite: str, cases: Any, strict: bool, bad_usage: type[Exception]) -> None:
    from sim.report.junit import JUnitNotWritten, write_junit

    try:
        write_junit(path, suite, cases, strict)
    except JUnitNotWritten as error:
        raise bad_usage(str(error)) from None


def _write_gate(found: Any, path: Path, strict: bool, bad_usage: type[Exception]) -> None:
    from sim.report.junit import Case
    from sim.study.comparison import check_in_words

    cases = [Case(check.metric, check.strategy, check.verdict, check_in_words(check)) for check in found.gate.checks]
    _write(path, "HEAD against BASE", cases, strict, bad_usage)


def write_objectives(metrics: Any, path: Path, strict: bool, bad_usage: type[Exception]) -> None:
    """The objectives of a run as JUnit XML."""
    from sim.report.junit import Case

    cases = [
        Case(f"{one['metric']} {one['bound'].replace('_', ' ')}", str(one["strategy"]), str(one["verdict"]), _found(one))
        for one in metrics.get("objectives", [])
    ]
    _write(path, f"objectives of {metrics.get('scenario')}", cases, strict, bad_usage)


def _found(one: Any) -> str:
    if one["value"] is None:
        return str(one["note"])
    interval = "" if one["low"] is None else f" (95 % interval {one['low']:.6g} to {one['high']:.6g})"
    return f"is {one['value']:.6g}{interval}"


def _work() -> Any:
    from sim.study.execute import Work

    return Work()


def metrics_of(names: Sequence[str] | None, bad_usage: type[Exception], option: str = "--metric") -> tuple[str, ...]:
    """The metrics that an option names, none where it was not given."""
    from sim.measure.metrics_catalog import METRICS
    from sim.scenario.document import nearest

    for name in names or ():
        if name not in METRICS:
            near = nearest(name, METRICS)
            hint = f"did you mean {near}" if near else "`python -m sim list metrics` shows them"
            raise bad_usage(f"{option} {name}: unknown metric, {hint}")
    twice = next((name for name in names or () if list(names or ()).count(name) > 1), None)
    if twice:
        raise bad_usage(f"{option} {twice}: the metric is given twice")
    return tuple(names or ())


def _precision(text: str | None, default: str, most: int, bad_usage: type[Exception]) -> Any:
    from sim.study.bounds import BoundError, parse_bound

    if text is None:
        return None
    from sim.measure.support import Precision

    try:
        name, share, absolute = parse_bound(text, default)
    except BoundError as error:
        raise bad_usage(f"--precision {text}: {error}") from None
    if (share if share is not None else absolute) in (None, 0.0):
        raise bad_usage(f"--precision {text}: expected a width above 0, such as 5%")
    return Precision(name, share, absolute, most)
