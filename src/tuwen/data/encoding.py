"""Bytes of a text file in whatever encoding → UTF-8, with every byte that does not belong made visible.

A file's encoding is a fact about the whole file. Bytes that are wrong in it (a line pasted from elsewhere, a character
cut in half) are neither guessed at nor dropped: each becomes MARK and two hex digits, and its row is rejected.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass, field

from tuwen.errors import DataError

MARK = "\ufdd0"  # a Unicode noncharacter: no text contains it
WRONG = "wrong encoding"  # why a row with such bytes is rejected
_CHUNK = 2**20
_SAMPLE = 2**18
_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = [
    "gb18030",
    "big5",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "cp1251",
    "koi8_r",
    "cp1250",
    "cp1253",
]
_NOT_WESTERN = re.compile(
    "(?<![mM])³|[^\x00-\x7fÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜŸßàáâãäåæçèéêëìíîïñòóôõöøœùúûüÿ¡¿«»‹›“”„‘’‚–—…•·€£¥¢§°ºª®™©½¼¾²³±×´\xa0]"
)
_PAIRS = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
_CHINESE = re.compile(  # 1 common hanzi, 2 rarer ones, 3 kana, 4 signs, 5 the rest of GBK, 6 stray bytes
    rb"([\xb0-\xd7][\xa1-\xfe])|([\xd8-\xf7][\xa1-\xfe])|([\xa4\xa5][\xa1-\xfe])|([\xa1-\xa9][\xa1-\xfe])"
    rb"|([\x81-\xfe][\x40-\x7e\x80-\xfe])|([\x80-\xff])"
)
_CJK_IN_UTF8 = re.compile(rb"[\xe3-\xe9\xef][\x80-\xbf]{2}")


_MARKS = re.compile(rb"(?<=[\r\n])\xef\xbb\xbf")


def without_marks(data: bytes) -> bytes:
    """UTF-8 without the byte order marks at beginnings of lines: of files that were laid end to end."""
    return _MARKS.sub(b"", data) if codecs.BOM_UTF8 in data else data


@dataclass(frozen=True)
class Decoded:
    """A text file as UTF-8.

    Attributes:
        data: UTF-8 without a byte order mark.
        encoding: what the file was in.
        guessed: nothing in the file or the settings proves it.
        wrong: lines with bytes that do not belong.
        notes: what a person should know about it, one sentence each.
    """

    data: bytes
    encoding: str
    guessed: bool
    wrong: int
    notes: list[str] = field(default_factory=list)


def decode(data: bytes, encoding: str | None, where: str) -> Decoded:
    """``data`` as UTF-8. ``encoding``: what the shop says; None: found out.

    Raises:
        DataError: the encoding has no such name, is plainly another one, or cannot be told.
    """
    guessed = False
    told, notes = encoding, []
    if encoding is None:
        encoding, guessed = detect(data, where)
        notes = [f"{where}: read as {encoding}, which is a guess"] if guessed else []
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        known = "utf-8, gb18030, utf-16, big5, shift_jis, cp1252, ..."
        raise DataError("there is no such encoding", where=where, seen=encoding, allowed=known) from None
    for mark, marked in _BOMS:
        if data.startswith(mark) and marked.startswith(name.removesuffix("-sig")):
            data, name = data[len(mark) :], marked
            break
    name = {"utf-8-sig": "utf-8", "gbk": "gb18030", "gb2312": "gb18030"}.get(name, name)
    if name == "utf-8" and is_utf8(data):
        return Decoded(data, name, guessed, 0)
    if name != "utf-8" and _CJK_IN_UTF8.search(data) and is_utf8(data):
        raise DataError(
            f"the file is not in {name}", where=where, seen="utf-8", todo="leave 'encoding' out of SHOP.yaml"
        )
    text = _text(data, name)
    wrong = sum(MARK in line for line in text.split("\n")) if MARK in text else 0
    if wrong and told is not None and not _fits(data, name):
        notes = [f"{where}: {wrong:,} lines are not in {told}, as SHOP.yaml has it; {other_encoding(told)}"]
    return Decoded(text.encode(), name, guessed, wrong, notes)


def other_encoding(told: str) -> str:
    """What to do where SHOP.yaml's ``encoding`` is not the file's."""
    other = "gb18030" if told.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig") else "the right one"
    return f"leave 'encoding' out of SHOP.yaml, or say {other}"


def _fits(data: bytes, name: str) -> bool:
    """Whether a file with wrong bytes is in ``name`` all the same, as far as can be told."""
    try:
        return detect(data, "")[0] == name
    except DataError:
        return True


def readable(text: str) -> str:
    """``text`` with its wrong bytes as people write them: ``\\xb2``."""
    return re.sub(MARK + "([0-9a-f]{2})", r"\\x\1", text)


def is_utf8(data: bytes) -> bool:
    """Whether all of ``data`` is valid UTF-8; in chunks, so that no second copy is made."""
    check = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            check.decode(data[start : start + _CHUNK])
        check.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def detect(data: bytes, where: str) -> tuple[str, bool]:
    """(encoding, whether it is only a guess) of a text file.

    A byte order mark or valid UTF-8 is proof. Else the lines that are not UTF-8 decide; but where most lines are, the
    file is UTF-8 with wrong lines in it. Chinese (GB 18030) is told by its structure, which charset-normalizer sees
    only in long texts.

    Raises:
        DataError: nothing fits.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name, False
    wide = _utf16(data)
    if wide is not None:
        return wide, False
    if is_utf8(data):
        return "utf-8", False
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    bad = [line for line in lines if not is_utf8(line)]
    other = _guess(b"\n".join(bad)[:_SAMPLE])
    good = sum(_is_foreign(line, other or "cp1252") for line in lines)
    if good >= len(bad):
        return "utf-8", False
    if other is None:
        raise DataError(
            "the encoding of the file cannot be told", where=where, todo="name it in SHOP.yaml: encoding: gb18030"
        )
    return other, True


def _guess(sample: bytes) -> str | None:
    """The encoding of text that is not UTF-8."""
    from charset_normalizer import from_bytes

    found = [(match.lastindex, match.group()[0]) for match in _CHINESE.finditer(sample)]
    kinds = Counter(kind for kind, _ in found)
    hanzi = kinds[1] + kinds[2]
    chinese = hanzi > 0 and hanzi + kinds[4] >= 0.9 * len(found) and kinds[1] >= 0.6 * hanzi
    if chinese and hanzi >= 12 and sum(lead > 0xC8 for _, lead in found) < 0.05 * hanzi:
        return "euc_kr"  # the same structure, but Hangul fills the first half of it only
    letters = sum(chr(byte).isalpha() or byte > 127 for byte in sample)
    accents = len(sample) - len(sample.translate(None, bytes(range(128, 256))))
    if not chinese and accents <= 0.35 * letters and not _NOT_WESTERN.search(sample.decode("cp1252", "replace")):
        return "cp1252"
    if chinese:
        return "gb18030"
    best = from_bytes(sample, cp_isolation=_OTHERS).best()
    return None if best is None else best.encoding


def _utf16(data: bytes) -> str | None:
    """UTF-16 without a mark: zeros stand only on one side of its pairs."""
    sample = data[:4096]
    zeros = sample[::2].count(0), sample[1::2].count(0)
    if len(data) % 2 or sum(zeros) < max(2, len(sample) // 50) or min(zeros) > sum(zeros) // 20:
        return None
    name = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        data.decode(name)
    except UnicodeDecodeError:
        return None
    return name


def _is_foreign(line: bytes, name: str) -> bool:
    """Whether a line of a file in ``name`` is plainly UTF-8: with two CJK characters, or any where one byte is one."""
    if not is_utf8(line):
        return False
    return len(_CJK_IN_UTF8.findall(line)) >= 2 if name in _PAIRS else True


def _text(data: bytes, name: str) -> str:
    """``data`` decoded; what is wrong in it marked."""
    codecs.register_error("tuwen-mark", _mark)
    if name == "utf-8":
        return data.decode(name, "tuwen-mark")
    if name not in _PAIRS and not name.startswith(("cp125", "iso8859", "koi8")):
        return data.decode(name, "tuwen-mark")
    return "\n".join(
        line.decode("ascii" if not line.isascii() and _is_foreign(line, name) else name, "tuwen-mark")
        for line in data.split(b"\n")
    )


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"{MARK}{byte:02x}" for byte in error.object[error.start : error.end]), error.end
