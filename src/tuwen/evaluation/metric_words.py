"""What metrics are called and what they mean, English and Chinese side by side."""

from __future__ import annotations

from typing import Any

from tuwen.evaluation.metrics import METRICS, RANKING, RETRIEVAL
from tuwen.evaluation.words import Text, in_both, thing


class RetrievalNames(dict[str, Text]):
    """Names of metrics; ``picture_to_text_recall@10`` and ``cold_recall@20`` are put together from their parts."""

    def __missing__(self, name: str) -> Text:
        listed = RANKING.fullmatch(name)
        if listed is not None:
            of, zh_of = _KINDS.get(listed["kind"], ("", ""))
            measure, zh_measure = _OF_LISTS[listed["measure"]][0]
            return f"{measure}@{listed['depth']}{of}", f"{zh_measure}@{listed['depth']}{zh_of}"
        found = RETRIEVAL.fullmatch(name)
        if found is None:
            raise KeyError(name)
        (asked, zh_asked), (sought, zh_sought) = thing(found["query"]), thing(found["answer"])
        measure, zh_measure = _MEASURES.get(found["measure"], (found["measure"].capitalize(),) * 2)
        return f"{asked.capitalize()} → {sought}: {measure}", f"{zh_asked} → {zh_sought}：{zh_measure}"


class RetrievalMeanings(dict[str, Text]):
    """Meanings of metrics; those of retrieval say what is looked for, those of lists how deep."""

    def __missing__(self, name: str) -> Text:
        listed = RANKING.fullmatch(name)
        if listed is not None:
            of, zh_of = _KINDS.get(listed["kind"], ("", ""))
            english, chinese = _OF_LISTS[listed["measure"]][1]
            return english.format(depth=listed["depth"], of=of), chinese.format(depth=listed["depth"], of=zh_of)
        found = RETRIEVAL.fullmatch(name)
        if found is None:
            raise KeyError(name)
        (asked, zh_asked), (sought, zh_sought) = thing(found["query"]), thing(found["answer"])
        measure, _, depth = found["measure"].partition("@")
        english, chinese = _RETRIEVAL_MEANINGS[measure]
        return (
            english.format(asked=asked, sought=sought, depth=depth),
            chinese.format(asked=zh_asked, sought=zh_sought, depth=depth),
        )


_KINDS: dict[str | None, Text] = {
    "cold": (", items never bought before", "（从未售出的商品）"),
    "warm": (", items bought before", "（售出过的商品）"),
    "burges": (", steep grades", "（按指数增益）"),
    "condensed": (", judged items only", "（只看标注过的商品）"),
    "tail": (", items off the best sellers", "（长尾商品）"),
}
_OF_LISTS: dict[str, tuple[Text, Text]] = {
    "ndcg": (
        ("NDCG", "NDCG"),
        (
            "Is what is wanted in the list of {depth}, and near its top{of}? 1 is the best possible list.",
            "想要的商品是否在前 {depth} 名、是否靠前{of}？1 为最佳可能的列表。",
        ),
    ),
    "recall": (
        ("Recall", "召回率"),
        ("Share of the bought items that are among the first {depth}{of}.", "买下的商品排在前 {depth} 名的比例{of}。"),
    ),
    "map": (
        ("MAP", "MAP"),
        ("Mean precision at each hit among the first {depth}.", "前 {depth} 名内各命中处的平均精确率。"),
    ),
    "mrr": (("MRR", "MRR"), ("Mean of 1 / place of the first hit.", "首个命中名次倒数的平均值。")),
    "hit": (
        ("Hit rate", "命中率"),
        (
            "Share of these shoppers who bought at least one of the {depth}.",
            "这些顾客中至少买了列表 {depth} 件中一件的比例。",
        ),
    ),
    "precision": (
        ("Precision", "精确率"),
        ("Share of the {depth} that is right.", "列表 {depth} 件中正确的比例。"),
    ),
    "judged": (
        ("Judged", "已标注"),
        (
            "Share of the first {depth} that people ever judged; the rest counts as wrong.",
            "前 {depth} 名中曾被标注的比例；其余算错。",
        ),
    ),
    "novelty": (
        ("Novelty", "新颖度"),
        (
            "How unknown the listed items are: −log₂ of the share of shoppers who had bought them, averaged.",
            "列出商品的陌生程度：买过它的顾客比例取 −log₂ 后平均。",
        ),
    ),
    "diversity": (
        ("Diversity", "多样性"),
        (
            "One minus how alike the items of a list are (cosine of their vectors).",
            "1 减去列表内商品的相似度（向量余弦）。",
        ),
    ),
}
_MEASURES: dict[str, Text] = {"mrr": ("MRR", "MRR"), "median_rank": ("median rank", "排名中位数")}
_RETRIEVAL_MEANINGS: dict[str, Text] = {
    "recall": (
        "How often a {asked}'s own {sought} is among the first {depth} of all in the test part; a {sought} that "
        "others share counts as if equals stood in random order.",
        "用{asked}检索时，其自身的{sought}排在测试集前 {depth} 名的比例；相同的{sought}按随机顺序计。",
    ),
    "mrr": ("Mean of 1 / rank of the own {sought}; 1 is perfect.", "自身{sought}名次倒数的平均值；1 为完美。"),
    "median_rank": (
        "Half of the queries find their own {sought} at this rank or better.",
        "一半的查询能在该名次以内找到自身的{sought}。",
    ),
}

METRIC_NAMES: dict[str, Text] = RetrievalNames(
    {
        "accuracy": ("Accuracy", "准确率"),
        "precision": ("Precision", "精确率"),
        "recall": ("Recall", "召回率"),
        "f1": ("F1", "F1"),
        "macro_precision": ("Precision (macro)", "精确率（宏平均）"),
        "macro_recall": ("Recall (macro)", "召回率（宏平均）"),
        "macro_f1": ("F1 (macro)", "F1（宏平均）"),
        "micro_f1": ("F1 (micro)", "F1（微平均）"),
        "auc": ("AUC", "AUC"),
        "log_loss": ("Log loss", "对数损失"),
        "brier": ("Brier score", "Brier 分数"),
        "rmse": ("RMSE", "RMSE"),
        "rmsle": ("RMSLE", "RMSLE"),
        "mae": ("MAE", "MAE"),
        "r2": ("R²", "R²"),
        "spearman": ("Rank correlation", "等级相关"),
        "mean_recall@10": ("Recall@10, mean of all directions", "Recall@10（各方向平均）"),
    }
)

METRIC_MEANINGS: dict[str, Text] = RetrievalMeanings(
    {
        "accuracy": ("Share of answers that are right.", "答对的比例。"),
        "precision": ("When it says yes, how often that is right.", "它说“是”时，有多少是对的。"),
        "recall": ("Of all that are yes, how many it finds.", "所有“是”中，它找到了多少。"),
        "f1": ("Precision and recall in one number (harmonic mean).", "精确率与召回率的调和平均。"),
        "macro_precision": (
            "Precision of each class, averaged; rare classes count as much as common ones.",
            "各类精确率的平均，稀有类与常见类同等重要。",
        ),
        "macro_recall": (
            "Recall of each class, averaged; also called balanced accuracy.",
            "各类召回率的平均，又称平衡准确率。",
        ),
        "macro_f1": (
            "F1 of each class, averaged; rare classes count as much as common ones.",
            "各类 F1 的平均，稀有类与常见类同等重要。",
        ),
        "micro_f1": (
            "F1 over all answers together; with one answer a row it equals accuracy.",
            "所有回答合计的 F1；每行一个回答时等于准确率。",
        ),
        "auc": (
            "Chance that a row of the class scores above a row that is not; 0.5 is guessing.",
            "属于该类的行得分高于不属于的行的概率；0.5 等于瞎猜。",
        ),
        "log_loss": (
            "Price of the probability given to the truth; being sure and wrong is expensive.",
            "按给真实答案的概率计价；自信却答错代价很高。",
        ),
        "brier": ("Squared distance between probabilities and truth.", "概率与真实之间的平方距离。"),
        "rmse": (
            "Typical error in the target's own unit; large errors weigh more.",
            "以目标单位计的典型误差，大误差权重更高。",
        ),
        "rmsle": (
            "Typical difference of log(1 + y): an error counts by its share of the value, so 5 for 10 is as wrong as "
            "500 for 1,000.",
            "log(1 + y) 的典型差值：误差按占数值的比例计，10 答成 5 与 1000 答成 500 同样错。",
        ),
        "mae": ("Average distance from the truth, in the target's own unit.", "与真实值的平均距离，单位同目标。"),
        "r2": (
            "Share of the variation that it explains; 0 is as good as the mean.",
            "解释了多少变化；0 等于只答平均值。",
        ),
        "spearman": (
            "Does it put rows in the right order? 1 is perfect, 0 is none.",
            "排序是否正确？1 为完美，0 为无关。",
        ),
        "mean_recall@10": (
            "How often a query's own answer is among the first 10, averaged over what is asked with and looked for.",
            "检索时自身的答案排在前 10 名的比例，对各检索方向取平均。",
        ),
    }
)


def described(name: str) -> dict[str, Any]:
    """What a page needs to show a metric: ``metric`` ``name`` ``meaning`` ``percent`` ``higher`` (is better)."""
    metric = METRICS[name]
    return {
        "metric": name,
        "name": in_both(METRIC_NAMES[name]),
        "meaning": in_both(METRIC_MEANINGS[name]),
        "percent": metric.percent,
        "higher": metric.greater_is_better,
    }
