"""Commands about scenario files: check, schema, list, init. They parse, call and print, as sim/cli.py does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from sim.cli_codes import BAD_USAGE, OK


def register(app: typer.Typer, command: Callable[[Callable[..., int | None]], Callable[..., None]]) -> None:
    """Add the commands to `app`."""

    @app.command()
    @command
    def check(files: Annotated[list[str], typer.Argument(metavar="FILE...", help="scenario files")]) -> int:
        """Check scenario files: print every mistake and every warning, run nothing."""
        from sim.scenario.document import ScenarioErrors, printable
        from sim.scenario.sweep import warnings_in
        from sim.terminal import say

        code = OK
        for file in files:
            try:
                warnings = warnings_in(file)
            except ScenarioErrors as errors:
                code = BAD_USAGE
                for line in errors.lines:
                    say(printable(line))
                continue
            for line in warnings:
                say(f"warning: {line}")
            say(f"ok: {file}")
        return code

    @app.command()
    @command
    def schema() -> None:
        """Print the JSON Schema of the scenario file."""
        from sim.scenario.schema import schema_text
        from sim.terminal import say

        say(schema_text().rstrip())

    @app.command("list")
    @command
    def list_(
        what: Annotated[
            str | None,
            typer.Argument(metavar="[scenarios|strategies|presets|backoff|metrics]", help="all of them where not given"),
        ] = None,
    ) -> None:
        """List what there is, one line each."""
        from sim.scenario.listing import listing
        from sim.terminal import say

        for line in listing(what):
            say(line)

    @app.command()
    @command
    def init(name: Annotated[str, typer.Argument(metavar="NAME", help="name of the scenario; NAME.yaml is written")]) -> None:
        """Write a commented starter file."""
        from sim.scenario.starter import write_starter
        from sim.terminal import say

        path = write_starter(name)
        say(f"wrote {path}; next: python -m sim run {path}")
