"""What may stand for a vehicle, in certificates, in paths of the API and in names."""

from __future__ import annotations

import re

VIN = re.compile(r"[A-Za-z0-9-]{1,50}")
