"""Commands that look for values: sensitivity and tune. They parse, call and print, as sim/cli.py does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.cli_studies import FileArgument, JsonOption, MetricOption, OutOption, metrics_of

OverOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=LOW..HIGH", help="a key and its range: hybrid.poll='10 s..120 s', with ' log' behind; repeatable"),
]
StrategiesOption = Annotated[list[str] | None, typer.Option("--strategy", help="this one only; repeatable")]
ReplicationsOption = Annotated[int | None, typer.Option(help="number of drives of each point")]
SeedOption = Annotated[int | None, typer.Option(help="seed of all draws")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key; repeatable")]
JobsOption = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="processes; all cores where not given")]


class Method(StrEnum):
    SOBOL = "sobol"
    MORRIS = "morris"


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
    def sensitivity(
        file: FileArgument,
        over: OverOption = None,
        method: Annotated[
            Method, typer.Option(help="sobol: shares of the variance; morris: screening, fewer points")
        ] = Method.SOBOL,
        samples: Annotated[int, typer.Option(min=2, help="base samples; sobol runs (keys + 2) times so many points")] = 32,
        metric: MetricOption = None,
        strategy: StrategiesOption = None,
        replications: ReplicationsOption = None,
        seed: SeedOption = None,
        set_: SetOption = None,
        jobs: JobsOption = None,
        out: OutOption = Path("results"),
        json: JsonOption = False,
    ) -> None:
        """Find out which key drives which metric (Sobol or Morris). Needs the extra `study`."""
        from sim.study.search_runs import run_sensitivity
        from sim.terminal import nothing_else_on_stdout, progress, say
        from sim.terminal_studies import print_frame, sensitivity_json

        names = metrics_of(metric, bad_usage)
        if method is Method.SOBOL and samples & (samples - 1):
            raise bad_usage(f"--samples {samples}: Sobol's sequence needs a power of two, such as 32")
        with nothing_else_on_stdout(json), _one_line(bad_usage):
            searched, ranges = _opened(file, over, set_, strategy, replications, seed, out, jobs or cores())
            with progress(searched.source.base.name) as show:
                folder, rows = run_sensitivity(searched, ranges, names, method.value, samples, said(), show)
        if json:
            say(sensitivity_json(folder, rows))
            return
        print_frame(rows)
        say(f"report: {folder / 'report.html'}")

    @app.command()
    @command
    def tune(
        file: FileArgument,
        over: OverOption = None,
        strategy: Annotated[str | None, typer.Option(help="the strategy to tune; needed where the file has several")] = None,
        objective: Annotated[
            list[str] | None, typer.Option(metavar="METRIC", help="what to improve, the first first; repeatable")
        ] = None,
        trials: Annotated[int, typer.Option(min=1, help="go on to so many; those done already count")] = 50,
        replications: ReplicationsOption = None,
        seed: SeedOption = None,
        set_: SetOption = None,
        jobs: JobsOption = None,
        out: OutOption = Path("results"),
        json: JsonOption = False,
    ) -> None:
        """Search for values that are good on several metrics at once; prints the scenario found. Needs the extra `study`."""
        from sim.study.search_runs import run_tune
        from sim.terminal import nothing_else_on_stdout, progress, say
        from sim.terminal_studies import print_frame, tune_json

        names = metrics_of(objective, bad_usage, "--objective")
        with nothing_else_on_stdout(json), _one_line(bad_usage):
            searched, ranges = _opened(
                file, over, set_, [strategy] if strategy else None, replications, seed, out, jobs or cores()
            )
            listed = [choice.name for choice in searched.source.base.strategies]
            if len(listed) > 1:
                raise bad_usage(f"--strategy is missing: one of {', '.join(listed)} is tuned")
            with progress(f"{searched.source.base.name}, trials") as show:
                tuned, frame, text = run_tune(searched, ranges, listed[0], names, trials, said(), show)
        if json:
            say(tune_json(tuned, text))
            return
        print_frame(frame.filter(frame["front"]).drop("front"), error=True)
        say(f"report: {tuned.run_dir / 'report.html'}; the scenario found, also in tuned.yaml there:", error=True)
        say(text.rstrip())


def _one_line(bad_usage: type[Exception]) -> Any:
    import contextlib

    from sim.study.search import NothingMeasured, PackageMissing
    from sim.study.survivors import WorkLost

    @contextlib.contextmanager
    def said() -> Any:
        try:
            yield
        except (NothingMeasured, PackageMissing, WorkLost) as error:
            raise bad_usage(str(error)) from None

    return said()


def _opened(
    file: str,
    over: Sequence[str] | None,
    sets: Sequence[str] | None,
    strategies: Sequence[str] | None,
    replications: int | None,
    seed: int | None,
    out: Path,
    jobs: int,
) -> tuple[Any, Any]:
    from sim.scenario.document import ScenarioErrors
    from sim.scenario.space import parse_ranges
    from sim.scenario.sweep import open_scenario
    from sim.study.run_folder import require_writable
    from sim.study.search import Searched

    lines: list[str] = []
    try:
        source = open_scenario(file, sets=sets or (), strategies=strategies or (), replications=replications, seed=seed)
    except ScenarioErrors as errors:
        lines += errors.lines
    try:
        ranges = parse_ranges(over or ())
    except ScenarioErrors as errors:
        lines += errors.lines
    if lines:
        raise ScenarioErrors(lines)
    require_writable(out / source.base.name)
    return Searched(source, out, jobs), ranges
