"""JPEG at the level of its segments: what a file says about itself, and the same picture without what it tells.

Removing metadata here touches no coefficient, so a picture that is already small enough is stored without loss.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

START, END = b"\xff\xd8", b"\xff\xd9"
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
    if data[:2] != START:
        return None
    kept, at, frame, colours_as_usual = [START, JFIF], 2, None, True
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        marker = data[at + 1 : at + 2]
        if data[at : at + 1] != b"\xff" or not marker:
            return None
        if marker == b"\xd9":
            break
        length = int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            return None
        code, end = marker[0], at + 2 + length
        if code == 0xEE and body[:5] == b"Adobe":
            colours_as_usual = len(body) >= 12 and body[11] == 1
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            frame = (code, body)
        if code == 0xDA:
            found = _MARKER.search(data, end)
            if found is None:
                return None
            end = found.start()
        if not (0xE0 <= code <= 0xEF or code == 0xFE):
            kept.append(data[at:end])
        at = end
    if frame is None or len(frame[1]) < 6:
        return None
    code, body = frame
    names = body[6::3]
    common = colours_as_usual and code in (0xC0, 0xC1, 0xC2) and body[0] == 8 and body[5] == 3 and names[:3] != b"RGB"
    return Plain(b"".join([*kept, END]), int.from_bytes(body[3:5]), int.from_bytes(body[1:3]), common)
