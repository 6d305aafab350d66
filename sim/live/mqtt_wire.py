"""Data representations of MQTT (MQTT 3.1.1 1.5, MQTT 5.0 1.5): integers, UTF-8 strings, binary data; read and written."""

from __future__ import annotations

from sim.live.mqtt_errors import MalformedPacket

VARIABLE_MAX = 268_435_455  # four bytes of seven bits each


class Reader:
    """Reads the body of one packet from its beginning; running over its end is a malformed packet."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def left(self) -> int:
        return self._end - self._at

    def take(self, n: int) -> bytes:
        at, after = self._at, self._at + n
        if after > self._end:
            raise MalformedPacket("ends inside a field")
        self._at = after
        return self._data[at:after]

    def rest(self) -> bytes:
        return self.take(self._end - self._at)

    def byte(self) -> int:
        at = self._at
        if at >= self._end:
            raise MalformedPacket("ends inside a field")
        self._at = at + 1
        return self._data[at]

    def two_bytes(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def four_bytes(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def variable(self) -> int:
        """Variable byte integer (MQTT 5 1.5.5); more bytes than needed are not allowed [MQTT-1.5.5-1]."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise MalformedPacket("a variable byte integer has more bytes than it needs")
                return value
        raise MalformedPacket("a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        return self.take(self.two_bytes())

    def text(self) -> str:
        """UTF-8 encoded string (1.5.3 in 3.1.1, 1.5.4 in 5): well-formed, no surrogates, no U+0000."""
        try:
            # Python's strict decoder refuses over-long forms and the encodings of D800 to DFFF, as [MQTT-1.5.4-1] wants
            found = self.binary().decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise MalformedPacket("a string is not well-formed UTF-8") from None
        if "\0" in found:
            raise MalformedPacket("a string contains U+0000")
        return found

    def sub_reader(self, n: int) -> Reader:
        return Reader(self.take(n))


def write_variable(value: int) -> bytes:
    if value < 128:
        return bytes((value,))
    if value > VARIABLE_MAX:
        raise ValueError(f"{value} is too large for a variable byte integer")
    out = bytearray()
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_binary(value: bytes) -> bytes:
    if len(value) > 65_535:
        raise ValueError("more than 65,535 bytes in a field")
    return len(value).to_bytes(2, "big") + value


def write_text(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("a string must not contain U+0000")
    return write_binary(value.encode("utf-8", "strict"))
