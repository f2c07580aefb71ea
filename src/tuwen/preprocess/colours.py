"""The colour of an item, by one of seventeen names: from its words where they say one, else from its picture.

Names are those that shops sort by (the eleven of Berlin and Kay, 1969, and teal, navy, beige, gold, silver, several).
A picture is judged in CIELAB: what is alike to an even border is background; of the rest the commonest colour counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from tuwen.preprocess.cleaning import clean

Array = npt.NDArray[Any]

# colour → its names. Chinese names are whole colours (红色, not 红), because 红茶 is not red and 口红 need not be.
NAMES: dict[str, tuple[str, ...]] = {
    "black": ("black", "黑色", "纯黑", "曜石黑"),
    "white": ("white", "ivory", "白色", "纯白", "象牙白", "乳白色"),
    "grey": ("grey", "gray", "charcoal", "anthracite", "灰色", "深灰", "浅灰", "炭灰", "银灰"),
    "red": ("red", "burgundy", "maroon", "crimson", "scarlet", "红色", "大红", "酒红", "深红", "枣红", "玫红"),
    "orange": ("orange", "coral", "橙色", "橘色", "橘红", "珊瑚色", "珊瑚红"),
    "yellow": ("yellow", "mustard", "黄色", "浅黄", "明黄", "芥末黄", "姜黄"),
    "green": ("green", "olive", "khaki green", "绿色", "墨绿", "军绿", "浅绿", "深绿", "橄榄绿", "草绿"),
    "teal": ("teal", "turquoise", "cyan", "青色", "蓝绿色", "湖蓝", "青绿"),
    "blue": ("blue", "蓝色", "天蓝", "浅蓝", "宝蓝", "湛蓝"),
    "navy": ("navy", "navy blue", "dark blue", "藏青", "藏蓝", "深蓝", "海军蓝"),
    "purple": ("purple", "violet", "lilac", "lavender", "紫色", "淡紫", "浅紫", "深紫"),
    "pink": ("pink", "magenta", "fuchsia", "粉色", "粉红", "浅粉", "桃红"),
    "brown": ("brown", "beaver", "棕色", "褐色", "咖啡色", "驼色", "深棕"),
    "beige": ("beige", "米色", "米白", "杏色", "卡其", "卡其色", "奶油色"),
    "gold": ("gold", "golden", "金色", "香槟金", "玫瑰金"),
    "silver": ("silver", "银色", "亮银"),
    "several": (
        "multicolour",
        "multicolor",
        "multicoloured",
        "multicolored",
        "rainbow",
        "multi",
        "多色",
        "彩色",
        "拼色",
    ),
}
CHINESE = {
    "black": "黑色",
    "white": "白色",
    "grey": "灰色",
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "teal": "青色",
    "blue": "蓝色",
    "navy": "藏青色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "beige": "米色",
    "gold": "金色",
    "silver": "银色",
    "several": "多色",
}
_COLUMN = re.compile("colou?r|颜色|色系", re.IGNORECASE)
_LABEL = re.compile(r'(?<![\w ])([\w ]++)"?+\s*+[:：=]')  # the lookbehind reads each run of words once
_COLOUR_LABEL = re.compile("colou?r|颜色 *+\\Z", re.IGNORECASE)
_VALUE = re.compile(r'\s*+"?+([^",|;，；}]++)')


def is_colour_column(name: str) -> bool:
    """Whether a shop's own column tells colours, by its name."""
    return _COLUMN.search(name) is not None


def colour_of_word(word: str) -> str | None:
    """The colour that a word names, in English or Chinese: ``红色`` is ``red``."""
    name = clean(word).strip()
    return _by_name().get(name) or _by_name().get(name.removesuffix("色"))


def synonyms() -> list[tuple[str, ...]]:
    """Names that stand for one another in a search: those that a colour has in both languages, nothing near to it."""
    both = [(name, CHINESE[name]) for name in NAMES if name != "several"]
    return [("grey", "gray", CHINESE["grey"]) if name == "grey" else (name, other) for name, other in both]


def colour_of_texts(texts: Iterable[str | None]) -> str | None:
    """The colour that the first telling text names: where it says ``colour: …`` that one, else the first in it."""
    for text in texts:
        if not text:
            continue
        for part in (_labelled(text), text):
            found = _pattern().search(clean(part))
            if found:
                return _by_name()[found[0]]
    return None


def _labelled(text: str) -> str:
    """What stands behind the first ``colour:``, or an empty text."""
    for label in _LABEL.finditer(text):
        if _COLOUR_LABEL.search(label[1]) and (value := _VALUE.match(text, label.end())):
            return value[1]
    return ""


@cache
def _by_name() -> dict[str, str]:
    return {name: colour for colour, names in NAMES.items() for name in (colour, CHINESE[colour], *names)}


@cache
def _pattern() -> re.Pattern[str]:
    """The longest name first; English ones as whole words, and no brand that begins like one (Black & Decker)."""
    names = sorted(_by_name(), key=len, reverse=True)
    english = "|".join(re.escape(name) for name in names if name.isascii() and name not in ("several", "multi"))
    chinese = "|".join(name for name in names if not name.isascii())
    return re.compile(rf"\b(?:{english})\b(?!\s*+(?:&|and)\s)|{chinese}")


# --- Pictures -----------------------------------------------------------------------------------------------------

SIDE = 48  # pixels that a picture is judged at
EVEN, ALIKE = 10.0, 14.0  # CIELAB distances: of an even border, and of what belongs to it
SURE = 0.5  # share of what is shown that must be of one colour
DARK, DULL = 35.0, 9.0  # lightness below which there is black, chroma below which there is no hue
# from each hue (degrees) to the next: the colour of a light and of a dark one; "" where shops disagree most
_HUES = (
    (0, "pink", "brown"),
    (50, "", "brown"),
    (84, "yellow", ""),
    (105, "green", "green"),
    (185, "", ""),
    (225, "blue", "blue"),
    (300, "purple", "purple"),
    (335, "pink", "purple"),
)
_BRIGHT = {"brown": 50.0}  # lightness that a dark one is below; 32 of the others
_RED = (8.0, 50.0, 25.0)  # hues from, to, and the chroma above which they are red, light or dark


def colour_of_picture(data: bytes) -> str | None:
    """The colour of what a picture shows; None where it cannot be read, or shows no one colour that photos tell
    reliably (grey, white and gold depend on the light, so words alone tell them)."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as opened:
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            pixels = np.asarray(opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    lab = cielab(pixels / 255.0)
    shown = _shown(lab)
    colours, place = np.unique(_names(lab[shown]), return_inverse=True)
    shares = np.bincount(place, _middle()[shown])
    best = int(shares.argmax())
    return str(colours[best]) or None if shares[best] > SURE * shares.sum() else None


def _shown(lab: Array) -> Array:
    """bool [side, side]: what is no background, without its blurred edge."""
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    middle = np.median(border, axis=0)
    every = np.ones(lab.shape[:2], bool)
    if (np.linalg.norm(border - middle, axis=1) < EVEN).mean() <= 0.5:
        return every
    different: Array = np.linalg.norm(lab - middle, axis=2) > ALIKE
    if different.mean() <= 0.04:  # what is shown is of the background's own colour
        return every
    inner = different.copy()
    inner[1:] &= different[:-1]
    inner[:-1] &= different[1:]
    inner[:, 1:] &= different[:, :-1]
    inner[:, :-1] &= different[:, 1:]
    return inner if inner.sum() > 20 else different


@cache
def _middle() -> Array:
    """f64 [side, side]: what stands in the middle counts most."""
    place = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    weights: Array = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 0.2**2))
    return weights


def _names(lab: Array) -> Array:
    """Colours of pixels, f64 [pixels, 3] → str [pixels]."""
    lightness, a, b = lab.T
    hue = np.degrees(np.arctan2(b, a)) % 360
    place = np.searchsorted([one[0] for one in _HUES], hue, side="right") - 1
    light, dark = (np.array([one[i] for one in _HUES])[place] for i in (1, 2))
    least = np.array([_BRIGHT.get(one[2], 32.0) for one in _HUES])[place]
    hued = np.where(lightness > least, light, dark)
    plain = np.where(lightness > DARK, "", "black")
    chroma, (low, high, strong) = np.hypot(a, b), _RED
    hued = np.where((hue > low) & (hue < high) & (chroma > strong) & (lightness < 62), "red", hued)
    found: Array = np.where(chroma < DULL, plain, hued)
    return found


def cielab(rgb: Array) -> Array:
    """sRGB from 0 to 1, f64 [..., 3] → CIELAB under D65: lightness 0 to 100, a, b."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)
