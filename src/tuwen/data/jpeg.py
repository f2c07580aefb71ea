"""JPEG at the level of its segments: what a file says about itself, and the same picture without what it tells.

Removing metadata here touches no coefficient, so a picture that is already small enough is stored without loss.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tuwen.errors import DataError

START, END = b"\xff\xd8", b"\xff\xd9"
SCANS = 100  # progressive pictures have about ten; thousands are a way to keep a decoder busy
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"  # version 1.1, square pixels, no thumbnail
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in a scan: not stuffing, not a restart


@dataclass(frozen=True)
class Plain:
    """A JPEG reduced to what is needed to decode it.

    Attributes:
        data: the whole file: one JFIF header, tables, frame, scans; no EXIF, GPS, profile, comment or thumbnail.
        width, height: pixels as stored, before any turning.
        common: 8-bit YCbCr, baseline or progressive: what every decoder reads alike.
    """

    data: bytes
    width: int
    height: int
    common: bool


def plain(data: bytes) -> Plain | None:
    """The picture in ``data`` without metadata and without anything after its end; None if it has no whole frame.

    Idempotent: ``plain(plain(x).data).data == plain(x).data``.
    """
    kept, frame, usual = [START, JFIF], None, True
    for code, body, whole in _segments(data):
        if code == 0xEE and body[:5] == b"Adobe":
            usual = len(body) >= 12 and body[11] == 1  # YCbCr
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            frame = (code, body)
        if not (0xE0 <= code <= 0xEF or code == 0xFE):
            kept.append(whole)
    if frame is None or len(frame[1]) < 6 or kept[-1] != END:
        return None
    code, body = frame
    common = usual and code in (0xC0, 0xC1, 0xC2) and body[0] == 8 and body[5] == 3 and body[6::3][:3] != b"RGB"
    return Plain(b"".join(kept), int.from_bytes(body[3:5]), int.from_bytes(body[1:3]), common)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(marker, body, everything up to the next marker) of each segment; the last is END, or the file is not whole.

    Raises:
        DataError: too many scans.
    """
    at, scans = 2, 0
    while data[:2] == START:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if data[at : at + 2] == END:
            yield 0xD9, b"", END
            return
        length = int.from_bytes(data[at + 2 : at + 4])
        end = at + 2 + length
        if data[at : at + 1] != b"\xff" or length < 2 or end > len(data):
            return
        code, body = data[at + 1], data[at + 4 : end]
        if code == 0xDA:
            scans += 1
            if scans > SCANS:
                raise DataError("too many scans", allowed=f"at most {SCANS}")
            found = _MARKER.search(data, end)
            if found is None:
                return
            end = found.start()
        yield code, body, data[at:end]
        at = end
