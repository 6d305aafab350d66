"""The command of a user's own client: words with placeholders that a live run fills in."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: placeholder -> what it stands for; the files are those of the run's certificates
PLACEHOLDERS: dict[str, str] = {
    "host": "name of the server",
    "port": "its MQTT port",
    "client_id": "the vehicle's client id",
    "vin": "the vehicle's VIN",
    "ca": "file of the authority's certificate",
    "cert": "file of the vehicle's certificate",
    "key": "file of its key",
    "username": "user name that the broker wants",
    "password": "its password",
}
_FILES = ("ca", "cert", "key")
# anything else in braces is the program's own, such as a payload in JSON
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_INTERPRETER = re.compile(r"(python|node|java|perl|ruby|bash|sh|env)[0-9.]*")
_SCRIPT = re.compile(r"[\w.-]+")


class CommandRefused(ValueError):
    """The command cannot be used as given; one line."""


@dataclass(frozen=True, slots=True)
class ClientCommand:
    """A program and its arguments, with placeholders."""

    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the program is called in records and reports; an interpreter goes by its script."""
        names = [Path(word).name for word in self.words]
        if _INTERPRETER.fullmatch(names[0]):
            script = next((word for word in names[1:] if not word.startswith("-")), "")
            if _SCRIPT.fullmatch(script):
                return script
        return names[0] or self.words[0]

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The words with the values in place. Raises CommandRefused where one has no value in this run."""
        return [_PLACEHOLDER.sub(lambda found: _value(found[1], values), word) for word in self.words]


def parse_command(text: str) -> ClientCommand:
    """Split as a shell does, and check the placeholders. Raises CommandRefused."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CommandRefused(f"--client: {str(error).lower()} in {text!r}") from None
    if not words:
        raise CommandRefused("--client: no program is named")
    for word in words:
        for name in _PLACEHOLDER.findall(word):
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
                raise CommandRefused(f"--client: unknown placeholder {{{name}}}, known: {known}")
    return ClientCommand(tuple(words))


def require_program(command: ClientCommand) -> None:
    """The program is there and may be run. Raises CommandRefused, before anything is started for it."""
    program = command.words[0]
    if _PLACEHOLDER.search(program) or shutil.which(program) is not None:
        return
    if "/" not in program:
        raise CommandRefused(f"--client: no program {program!r} in PATH, expected the name of one or a path to it")
    why = "is no file" if not Path(program).is_file() else "is not executable (chmod +x makes it so)"
    raise CommandRefused(f"--client: {program} {why}, expected a program")


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        why = "server.tls is none, so there are no certificates" if name in _FILES else "this run has none"
        raise CommandRefused(f"--client: nothing stands for {{{name}}}: {why}")
    return values[name]
