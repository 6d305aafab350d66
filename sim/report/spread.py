"""Placing of direct labels: where the things they name lie close together, they are moved apart, order kept."""

from __future__ import annotations

from collections.abc import Sequence


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions nearest to the wanted ones that are at least `gap` apart and within [low, high], in the given order of items.

    Where there is not room for all of them the gap shrinks.
    """
    n = len(wanted)
    if n == 0:
        return []
    gap = min(gap, (high - low) / (n - 1)) if n > 1 else gap
    order = sorted(range(n), key=lambda item: (wanted[item], item))
    # blocks of labels that touch: their sum of wanted starts and their size, merged while they overlap
    blocks: list[list[float]] = []
    for rank, item in enumerate(order):
        blocks.append([wanted[item] - gap * rank, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1][0] += last[0]
            blocks[-1][1] += last[1]
    placed = [0.0] * n
    rank = 0
    for total, size in blocks:
        for _ in range(int(size)):
            base = min(max(total / size, low), high - gap * (n - 1))
            placed[order[rank]] = base + gap * rank
            rank += 1
    return placed


def shortened(text: str, most: int) -> str:
    """The text with its middle left out where it is longer than `most` characters: both ends tell variants apart."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[-(most - 1 - head) :]}"


def joined_names(names: Sequence[str], most: int) -> str:
    """One label for things that coincide: "a", "a = b", "a and 2 more", in at most so many characters."""
    if len(names) == 1:
        return shortened(names[0], most)
    if len(names) == 2:
        other = min(len(names[1]), max(most // 2 - 2, most - 3 - len(names[0])))
        return f"{shortened(names[0], most - 3 - other)} = {shortened(names[1], other)}"
    more = f" and {len(names) - 1} more"
    return shortened(names[0], most - len(more)) + more
