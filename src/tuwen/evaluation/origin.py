"""What must be said about where the numbers come from: other data, another shop than the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuwen.evaluation.words import Text


def origin_warnings(provenance: Mapping[str, Any]) -> list[Text]:
    """Warnings in both languages.

    Args:
        provenance: of a report; read are ``data_hash`` and ``trained_on`` (hashes of the data), ``shop`` and
            ``trained_on_shop``. What is missing cannot differ.
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
    return found
