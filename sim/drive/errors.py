"""What is wrong with a drive's settings beyond the bounds of single values."""

from __future__ import annotations


class DriveError(ValueError):
    """A setting of the drive that cannot be driven.

    `key` is the dotted key in the scenario file, such as `script.steps.2.at`; `text` says what is wrong and what would do.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key
        self.text = text
