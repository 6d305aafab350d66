"""Colours, markers and fills of the report: one look for each strategy and one fill for each state, in every figure.

Colours are given for light paper. Inline figures replace each of them by a CSS variable (`CSS_VARIABLES`), so that the page
can give the dark value instead. The hues stay apart for colour-blind readers (after Okabe & Ito 2008), and no figure rests on
colour alone: strategies differ in their marker and dashes too, states in lightness, hatch and label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INK = "#1c2430"
MUTED = "#5d6876"
RULE = "#d8dde3"
SOFT = "#eff1f4"
PAPER = "#fefefe"
ALERT = "#9b1c3c"
_HANDSHAKE = ("#fbe3b5", "#f6cd7e", "#eeb34b", "#d99320", "#b57510")
_FAILED = "#737e8b"
_BACKOFF = "#a6aeb8"
_WAIT = "#c9cfd6"
_STRATEGIES = ("#0b6fb8", "#d1500a", "#008262", "#b0408a", "#5b4bb5", "#7d5a3c", "#3f7f93", "#8a8f00")
_STRATEGIES_DARK = ("#5cb0f0", "#ff8f57", "#3cc79c", "#ee8bc9", "#a99bff", "#c9a27d", "#7cc3d8", "#cfd44a")

#: colour on light paper -> (CSS variable, colour on dark paper)
CSS_VARIABLES: dict[str, tuple[str, str]] = {
    INK: ("--ink", "#e8ecf1"),
    MUTED: ("--muted", "#9aa6b4"),
    RULE: ("--rule", "#333d49"),
    SOFT: ("--soft", "#222a34"),
    PAPER: ("--paper", "#161c24"),
    ALERT: ("--alert", "#ff5c62"),
    _FAILED: ("--failed", "#8793a1"),
    _BACKOFF: ("--backoff", "#66717e"),
    _WAIT: ("--wait", "#454f5b"),
    **{
        colour: (f"--handshake-{number}", dark)
        for number, (colour, dark) in enumerate(
            zip(_HANDSHAKE, ("#6b5320", "#8a6822", "#ab7f20", "#cb961f", "#ecb23c"), strict=True)
        )
    },
    **{
        light: (f"--strategy-{number}", dark)
        for number, (light, dark) in enumerate(zip(_STRATEGIES, _STRATEGIES_DARK, strict=True))
    },
}

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_DASHES: tuple[object, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (7, 1.6, 1.4, 1.6)))


@dataclass(frozen=True, slots=True)
class Style:
    """Look of a strategy; `hollow` markers and other dashes tell the ninth from the first."""

    colour: str
    marker: str
    dashes: object
    hollow: bool

    @property
    def variable(self) -> str:
        """The CSS variable that holds the colour."""
        return CSS_VARIABLES[self.colour][0]


@dataclass(frozen=True, slots=True)
class Fill:
    """Look of a state; `words` name it where the figure labels it, `short` where there is little room."""

    colour: str
    words: str
    short: str
    hatch: str = ""
    text: str = INK


#: Fills of the labels of `sim.measure.episode_labels`: dark where nobody knows, amber where a handshake runs, grey in waits.
FILLS: dict[str, Fill] = {
    "no_address": Fill(PAPER, "no address or no link", "no link", "////"),
    "undetected": Fill(INK, "dead path, unnoticed", "unnoticed", text=PAPER),
    "stale_address": Fill(ALERT, "server has a stale address", "stale address", text=PAPER),
    "failed_attempt": Fill(_FAILED, "failed attempt", "failed", text=PAPER),
    "backoff": Fill(_BACKOFF, "backing off", "backoff"),
    "poll_wait": Fill(_WAIT, "waiting for a poll", "poll wait", "||"),
    "heartbeat_wait": Fill(_WAIT, "waiting for a heartbeat", "heartbeat wait"),
    "dns": Fill(_HANDSHAKE[0], "DNS", "DNS"),
    "tcp": Fill(_HANDSHAKE[1], "TCP", "TCP"),
    "tls": Fill(_HANDSHAKE[2], "TLS", "TLS"),
    "connect": Fill(_HANDSHAKE[3], "CONNECT", "CONNECT"),
    "subscribe": Fill(_HANDSHAKE[4], "SUBSCRIBE", "SUBSCRIBE"),
}


def styles(strategies: Sequence[str]) -> dict[str, Style]:
    """Strategy -> its look, by the order in which the run lists them."""
    n = len(_STRATEGIES)
    return {
        name: Style(_STRATEGIES[number % n], _MARKERS[number % n], _DASHES[number // n % len(_DASHES)], number >= n)
        for number, name in enumerate(strategies)
    }
