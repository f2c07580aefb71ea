"""The words of the sample shop: English and Chinese side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
Sentiment = Literal[-1, 0, 1]


@dataclass(frozen=True)
class Kind:
    """One kind of item: its names, its category and its usual price (yuan)."""

    en: str
    zh: str
    category: str
    price: float
    measure: str  # the counting word Chinese needs: 一件, 一个, 一双


@dataclass(frozen=True)
class Brand:
    en: str
    zh: str
    level: float  # price factor


CLOTHES, SHOES_AND_BAGS, HOME = "Clothing 服装", "Shoes & bags 鞋包", "Home 家居"

KINDS: dict[str, Kind] = {
    "tee": Kind("T-shirt", "T恤", CLOTHES, 89, "件"),
    "dress": Kind("summer dress", "连衣裙", CLOTHES, 239, "条"),
    "socks": Kind("pair of socks", "袜子", CLOTHES, 29, "双"),
    "cap": Kind("cap", "棒球帽", CLOTHES, 69, "顶"),
    "sneaker": Kind("sneaker", "运动鞋", SHOES_AND_BAGS, 329, "双"),
    "tote": Kind("tote bag", "手提袋", SHOES_AND_BAGS, 119, "只"),
    "backpack": Kind("backpack", "双肩包", SHOES_AND_BAGS, 259, "只"),
    "umbrella": Kind("umbrella", "雨伞", SHOES_AND_BAGS, 79, "把"),
    "mug": Kind("mug", "马克杯", HOME, 49, "只"),
    "teapot": Kind("teapot", "茶壶", HOME, 159, "把"),
    "vase": Kind("vase", "花瓶", HOME, 99, "只"),
    "lamp": Kind("table lamp", "台灯", HOME, 189, "盏"),
    "cushion": Kind("cushion", "抱枕", HOME, 59, "个"),
}

BRANDS = (
    Brand("Lantern & Loom", "灯与织", 1.0),
    Brand("Willow Lane", "柳巷", 0.8),
    Brand("Northgate", "北门", 1.4),
    Brand("Little Harbour", "小港", 0.9),
    Brand("Mountain Tea", "山茶", 1.2),
    Brand("Paper Crane", "纸鹤", 1.1),
)

COLOURS: dict[str, tuple[str, tuple[int, int, int]]] = {
    "red": ("红色", (198, 55, 52)),
    "coral": ("珊瑚色", (233, 122, 98)),
    "mustard": ("姜黄色", (216, 164, 54)),
    "forest green": ("墨绿色", (44, 98, 70)),
    "teal": ("青色", (38, 134, 138)),
    "sky blue": ("天蓝色", (112, 173, 216)),
    "navy": ("藏青色", (38, 56, 102)),
    "lilac": ("淡紫色", (170, 146, 204)),
    "pink": ("粉色", (231, 160, 178)),
    "brown": ("棕色", (130, 88, 60)),
    "charcoal": ("炭灰色", (66, 68, 74)),
    "cream": ("米白色", (232, 220, 194)),
}

ADJECTIVES = (
    ("everyday", "日常"),
    ("classic", "经典"),
    ("light", "轻便"),
    ("handmade", "手工"),
    ("weekend", "周末"),
    ("little", "小巧"),
    ("studio", "工作室"),
    ("travel", "旅行"),
)

SENTENCES: dict[Language, tuple[str, ...]] = {
    "en": (
        "Designed in a small studio and made in short runs.",
        "Comes in a paper box that can go straight to the recycling.",
        "Easy to clean, easy to like.",
        "A quiet favourite of our regulars.",
        "Colours may differ a little from screen to screen.",
        "Ships within two working days.",
    ),
    "zh": (
        "小工作室设计，少量制作。",
        "纸盒包装，可以直接回收。",
        "好打理，也耐看。",
        "老顾客常常回购的一款。",
        "不同屏幕上颜色会略有差别。",
        "两个工作日内发货。",
    ),
}

# What a reviewer says about one point: bad, neither, good. None of it depends on how the item looks.
CLAUSES: dict[Language, dict[Sentiment, tuple[str, ...]]] = {
    "en": {
        -1: (
            "it broke after a week",
            "it arrived with a scratch",
            "it smells of glue",
            "too expensive for what it is",
            "customer service never answered",
            "the finish is sloppy",
            "I regret buying it",
            "delivery was a disaster",
        ),
        0: (
            "it took a week to arrive",
            "about the size I expected",
            "bought it as a gift",
            "the box was plain",
            "it is what the page says",
            "ordered on a Sunday evening",
            "this is my second order here",
            "I keep it in the hall",
        ),
        1: (
            "it is really well made",
            "it arrived two days early",
            "worth every penny",
            "customer service was lovely",
            "even better than I hoped",
            "my sister wants one too",
            "I use it with pleasure every day",
            "wrapped with great care",
        ),
    },
    "zh": {
        -1: (
            "用了一周就坏了",
            "收到的时候有划痕",
            "有一股刺鼻的胶水味",
            "价格太贵不值",
            "客服一直不回复",
            "做工很粗糙",
            "后悔买了",
            "物流太糟糕了",
        ),
        0: (
            "等了一周才到",
            "大小和想的差不多",
            "买来送人的",
            "盒子很普通",
            "和页面介绍的一样",
            "周日晚上下的单",
            "第二次在这家下单",
            "平时放在门厅里",
        ),
        1: (
            "做工真的很好",
            "提前两天就到了",
            "物超所值",
            "客服特别耐心",
            "比想象的还要好",
            "妹妹看了也想要",
            "每天都在用很喜欢",
            "包装非常用心",
        ),
    },
}

OPENINGS: dict[Language, tuple[str, ...]] = {
    "en": ("", "", "Hello, ", "Well: ", "My review of this {kind}: ", "About the {kind}: "),
    "zh": ("", "", "你好，", "说说这{measure}{kind}：", "收到{kind}了，", "来评价一下："),
}

CITIES = ("Shanghai", "成都", "Lisbon", "Leeds", "广州", "Hamburg", "西安", "Toronto", "杭州", "Austin")


def item_title(kind: Kind, brand: Brand, adjective: int, colour: str, language: Language | Literal["both"]) -> str:
    """A title naming everything but the pattern, which only the picture shows."""
    en_adjective, zh_adjective = ADJECTIVES[adjective]
    en = f"{brand.en} {en_adjective} {kind.en}, {colour}"
    zh = f"{brand.zh}{zh_adjective}{kind.zh}（{COLOURS[colour][0]}）"
    return {"en": en, "zh": zh, "both": f"{en} / {zh}"}[language]


def review_text(kind: Kind, language: Language, opening: int, clauses: list[tuple[Sentiment, int]]) -> str:
    """``opening`` and one clause per (sentiment, number), joined as the language does."""
    start = OPENINGS[language][opening].format(kind=kind.en if language == "en" else kind.zh, measure=kind.measure)
    parts = [CLAUSES[language][sentiment][number] for sentiment, number in clauses]
    if language == "zh":
        return f"{start}{'，'.join(parts)}。"
    text = f"{start}{', '.join(parts)}."
    return text[0].upper() + text[1:]
