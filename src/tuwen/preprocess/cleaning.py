"""Text as people paste it → text as a tokeniser likes it. Chinese and English alike."""

from __future__ import annotations

import html
import re

from tuwen.unicode import nfkc

HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
EMOJI = (
    "\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935\u2b05-\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff"
)
FLAG = "[\U0001f1e6-\U0001f1ff]{2}"

# A tag starts with a letter, a slash or an exclamation mark: "a < b" and "<3" are words, not tags.
_OPENING = re.compile(r"<!--|<(script|style)\b[^>]{0,1000}+>", re.IGNORECASE)
_CLOSING = {
    "": re.compile("-->"),
    "script": re.compile(r"</script\s*+>", re.IGNORECASE),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE),
}
_TAG = re.compile(r"<[/!]?[a-zA-Z][^<>]{0,1000}+>")
# Variation selectors and skin tones: 👍🏿 and 👍 are one word. Joiners glue emoji only; Persian needs them elsewhere.
_DRESS = re.compile(f"[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]|(?<=[{EMOJI}])\u200d")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: str, *, lower: bool = True) -> str:
    """One line of visible, normalised text.

    HTML entities are resolved and tags removed (shop feeds escape twice, so entities come first); NFKC folds full-width
    letters, digits and punctuation; control, zero-width and direction marks and lone surrogates go; emoji stay, without
    skin tone or variation; white space becomes single spaces. Traditional and simplified characters stay as they are.
    """
    if "&" in text:
        text = html.unescape(html.unescape(text))
    if not text.isascii():
        text = _DRESS.sub("", _INVISIBLE.sub("", text))
        text = nfkc(text)
    if "<" in text:
        text = _TAG.sub(" ", _without_hidden(text))
    text = " ".join(_INVISIBLE.sub("", text).split())
    return text.lower() if lower else text


def _without_hidden(text: str) -> str:
    """``text`` with a space for every comment, script and style sheet.

    A kind of end that was searched in vain is not searched again, so each character is read a fixed number of times.
    """
    parts: list[str] = []
    missing: set[str] = set()
    copied = position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        kind = (opening[1] or "").casefold()
        closing = None if kind in missing else _CLOSING[kind].search(text, opening.end())
        if closing is None:
            missing.add(kind)
            position = opening.start() + 1
        else:
            parts += [text[copied : opening.start()], " "]
            copied = position = closing.end()
    return "".join([*parts, text[copied:]])
