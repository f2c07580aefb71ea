"""What must be said about where the numbers come from: other data, another shop than the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuwen.evaluation.words import Text


def origin_warnings(provenance: Mapping[str, Any]) -> list[Text]:
    """Warnings in both languages.

    Args:
        provenance: of a report; read are ``data_hash`` and ``trained_on`` (hashes of the data), ``shop`` and
            ``trained_on_shop``, and ``starts_from`` (bundles whose encoders it began with: ``name``, ``task``,
            ``same_split``, ``gone``), ``data_warnings`` (of the data, in both languages), and
            ``unlearned`` (cuts at which a ranker learned nothing). What is missing cannot differ.
    """
    found = []
    shop, home = provenance.get("shop"), provenance.get("trained_on_shop")
    if shop and home and shop != home:
        found.append(
            (
                f"Tested on the shop “{shop}”, but trained on the shop “{home}”.",
                f"在“{shop}”店的数据上测试，而训练用的是“{home}”店的数据。",
            )
        )
    data, learned = provenance.get("data_hash"), provenance.get("trained_on")
    if data and learned and data != learned:
        found.append(
            (
                f"Tested on other data ({data[:12]}) than it was trained on ({learned[:12]}); the baselines "
                "were trained on the data of this test.",
                f"测试数据（{data[:12]}）不是训练所用的数据（{learned[:12]}）；基线则是在本次测试的数据上训练的。",
            )
        )
    starts = provenance.get("starts_from", ())
    found += [_start(init) for init in starts if not init["same_split"]]
    found += [_gone(init) for init in starts if init["gone"]]
    found += [(english, chinese) for english, chinese in provenance.get("data_warnings", ())]
    return found + ([unlearned(provenance["unlearned"])] if provenance.get("unlearned") else [])


def unlearned(days: Sequence[str]) -> Text:
    """A ranker that found nothing to tell a bought item by.

    Args:
        days: of the cuts at which that was so; none: of the bundle.
    """
    at, upon = (f"At {', '.join(days)} the", f"在 {'、'.join(days)}，") if days else ("The", "")
    return (
        f"{at} ranker learned nothing from so few purchases; the lists are ordered by the reciprocal rank of the "
        "retrievers instead. With a smaller 'smallest_leaf', or 'ranker: linear', it may learn.",
        f"{upon}购买记录太少，排序模型没有学到任何东西；列表改按各召回器的倒数排名排序。"
        "可调小 'smallest_leaf'，或改用 'ranker: linear'。",
    )


def _gone(init: Mapping[str, Any]) -> Text:
    return (
        f"“{init['name']}”, which it starts from, is no longer there: baselines that need it were left out.",
        f"它的起点“{init['name']}”已不在原处：需要它的基线未计算。",
    )


def _start(init: Mapping[str, Any]) -> Text:
    """A bundle that may have seen test rows before this run began."""
    if init["task"] == "contrast":
        return (
            f"It starts from “{init['name']}”, which was pretrained on other data or another split: it may have seen "
            "pictures and texts of test rows, though no labels.",
            f"它的起点“{init['name']}”在另一份数据或另一种划分上预训练：可能见过测试行的图片和文字，但没有见过标签。",
        )
    return (
        f"It starts from “{init['name']}”, which was trained with labels on other data or another split: where test "
        "rows were among them, these figures are too good.",
        f"它的起点“{init['name']}”在另一份数据或另一种划分上带标签训练：若其中包含测试行，这些数字会偏高。",
    )
