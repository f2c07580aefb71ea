"""What bytes look like to a person, where they are not what was asked for."""

from __future__ import annotations

SHOWN = 24  # bytes that are quoted
BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive, as DOCX and XLSX are"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office document"),
    (0, b"SQLite format 3\0", "a SQLite database"),
    (0, b"PAR1", "Parquet"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"8BPS", "a Photoshop file"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftyp", "a film"),
    (0, b"\x1aE\xdf\xa3", "a film"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (8, b"WAVE", "a WAV sound"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"OggS", "an Ogg sound"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"\xff\xfb", "an MP3 sound"),
)


def looks_like(data: bytes) -> str:
    """What ``data`` is, by its first bytes: a kind of file, the beginning of a text, or the bytes in hex.

    >>> looks_like(b"%PDF-1.4 ..."), looks_like("你好".encode()), looks_like(bytes([0, 1, 254]))
    ('a PDF', "text beginning '你好'", 'bytes 00 01 fe')
    """
    for at, beginning, words in BEGINNINGS:
        if data[at : at + len(beginning)] == beginning:
            return words
    text = _text(data[:512])
    if text is None:
        return f"bytes {data[:SHOWN].hex(' ')}" + ("…" if len(data) > SHOWN else "")
    if "<svg" in text:
        return "an SVG drawing"
    shown = " ".join(text.split())
    return f"text beginning '{shown[:SHOWN]}{'…' if len(shown) > SHOWN else ''}'"


def _text(data: bytes) -> str | None:
    """The beginning of a UTF-8 text; None where it is none. A letter that the end cuts in two is left out."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) - error.start > 3 or error.reason != "unexpected end of data":
            return None
        text = data[: error.start].decode("utf-8-sig")
    return text if text.strip() and all(letter.isprintable() or letter in "\t\r\n" for letter in text) else None
