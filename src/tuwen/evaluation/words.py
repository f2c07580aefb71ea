"""The words of the report page, English and Chinese side by side."""

from __future__ import annotations

import re

Text = tuple[str, str]  # (English, Chinese)


def in_both(text: Text) -> dict[str, str]:
    """As a page that switches languages wants it: ``en``, ``zh``."""
    return {"en": text[0], "zh": text[1]}


WORDS: dict[str, Text] = {
    "title": ("Evaluation report", "评估报告"),
    "skip": ("Skip to the results", "跳到结果"),
    "theme": ("Light or dark", "切换明暗"),
    "language": ("Language", "语言"),
    "sections": ("Sections", "章节"),
    "how_good": ("How good is it?", "效果如何？"),
    "compared": ("Compared with what?", "与什么相比？"),
    "trust": ("Can I trust it?", "可信吗？"),
    "fine": ("fine", "正常"),
    "caution": ("caution", "注意"),
    "this_model": ("This model", "本模型"),
    "model": ("This model", "本模型"),
    "metrics": ("Metrics", "指标"),
    "metrics_note": (
        "Every system answered the same rows of the test part. Small print: the interval that holds the true value "
        "in {confidence} of cases. Bold: best in the row.",
        "所有系统都在测试集的相同行上作答。小字：在 {confidence} 的情况下包含真实值的区间。粗体：该行最佳。",
    ),
    "metric": ("Metric", "指标"),
    "lower": ("lower is better", "越低越好"),
    "higher": ("higher is better", "越高越好"),
    "glossary": ("What do these words mean?", "这些词是什么意思？"),
    "comparison": ("Against the baselines", "与基线对比"),
    "comparison_note": (
        "Dot: value. Line: interval. Systems whose lines overlap can still differ clearly, because the table below "
        "compares them row by row.",
        "圆点：数值。线段：区间。线段重叠的系统仍可能有明显差别，因为下表是逐行配对比较的。",
    ),
    "against": ("This model against …", "本模型对比……"),
    "better": ("better", "更好"),
    "worse": ("worse", "更差"),
    "unclear": ("unclear", "不明显"),
    "lost_better": ("loses", "损失"),
    "lost_worse": ("gains", "反而提高"),
    "lost_unclear": ("no clear loss", "损失不明显"),
    "points": ("points", "百分点"),
    "also": ("Also", "另外"),
    "few": ("few rows", "行数少"),
    "knock_out": ("Knock-out: what each input is worth", "消融：每种输入的价值"),
    "knock_out_note": (
        "The same model, asked again with one input taken away, taken away from a fixed half of the rows, or swapped "
        "for another row's. What it loses is what that input is worth to it.",
        "同一个模型，去掉一种输入、在固定的一半行中去掉、或换成别的行的输入后重新作答。损失多少，该输入就值多少。",
    ),
    "unlearned_note": (
        "Everything was learned anew with one input taken away. What is lost is what the shop would lose without it.",
        "去掉一种输入后全部重新训练。损失多少，就是店铺没有它时会失去多少。",
    ),
    "knocked_absent": ("Without {what}", "去掉{what}"),
    "knocked_half": ("Half without {what}", "一半去掉{what}"),
    "knocked_unlearned": ("Learned without {what}", "训练时去掉{what}"),
    "knocked_swapped": ("Another row's {what}", "换成别的行的{what}"),
    "slices": ("Slices: where it is good and where not", "分组：哪里好，哪里不好"),
    "slices_note": (
        "The same metric on parts of the test rows; the dotted line is the whole. Parts with fewer than 20 rows are "
        "not drawn: their intervals mean little.",
        "同一指标在测试集各部分上的表现；虚线为整体。不足 20 行的部分不画出，其区间意义不大。",
    ),
    "slice": ("Part", "部分"),
    "rows": ("Rows", "行数"),
    "confusion": ("Confusion: what it takes for what", "混淆矩阵：把什么认成什么"),
    "confusion_note": (
        "Each line is a true class; blue is right, orange is wrong, stronger means a larger share of the line.",
        "每一行是一个真实类别；蓝色为正确，橙色为错误，颜色越深占该行的比例越大。",
    ),
    "confusion_most": (
        "Shown are the {shown} of {all} classes with the most mistakes; the others are gathered in “all others”.",
        "图中显示错误最多的 {shown} 个类别（共 {all} 个），其余归入“其他”。",
    ),
    "pairs": ("Most frequent mistakes", "最常见的错误"),
    "classes": ("All {all} classes", "全部 {all} 个类别"),
    "class": ("Class", "类别"),
    "precision": ("Precision", "精确率"),
    "recall": ("Recall", "召回率"),
    "truth": ("Truth", "真实"),
    "answer": ("Answer", "回答"),
    "times": ("Times", "次数"),
    "share": ("Share of the class", "占该类比例"),
    "others": ("all others", "其他"),
    "calibration": ("Calibration: does its confidence come true?", "校准：它的把握可靠吗？"),
    "calibration_rate": ("Calibration: do its numbers come true?", "校准：它的数值可靠吗？"),
    "calibration_note": (
        "On the dashed line, what it says is what happens. Below the line it promises too much. Bars: how many rows.",
        "落在虚线上表示说到做到；低于虚线表示承诺过高。柱形：行数。",
    ),
    "calibration_rate_note": (
        "Bins of equally many rows. On the dashed line, a prediction is what comes on average.",
        "每组行数相等。落在虚线上表示预测等于平均实际值。",
    ),
    "regression": ("Predicted and actual", "预测与实际"),
    "regression_note": (
        "Boxes: the middle half of the predictions at each true value; whiskers: 90 % of them. A perfect model lies on "
        "the dashed line.",
        "方框：每个真实值处中间一半的预测；须线：其中的 90%。完美的模型落在虚线上。",
    ),
    "regression_points": (
        "Each dot is a row (a sample of them). A perfect model lies on the dashed line.",
        "每个点是一行（抽样）。完美的模型落在虚线上。",
    ),
    "residuals": ("How far off it is", "偏差多大"),
    "residuals_note": (
        "Prediction minus truth; the outermost bars gather the rest.",
        "预测减去真实值；两端的柱形包含其余部分。",
    ),
    "lists": ("What its lists are made of", "列表由什么构成"),
    "coverage_note": (
        "Share of the catalogue that was listed for anybody, over all dates. A list that shows everybody the best "
        "sellers covers little.",
        "在所有日期上，曾出现在任何人列表中的商品占商品目录的比例。只推荐热销品的列表覆盖率很低。",
    ),
    "coverage": ("Share of the catalogue", "商品覆盖率"),
    "importance_note": (
        "What the ranker goes by: the share of each number in all that its splits gained, at the last date. It tells "
        "what is used, not what would be lost without it.",
        "排序模型的依据：各特征在所有分裂增益中所占的比例（最后一个日期）。它说明用到了什么，不说明缺了会损失多少。",
    ),
    "feature": ("Feature", "特征"),
    "gain": ("Share", "占比"),
    "system": ("System", "系统"),
    "raters": ("How the answer is put together", "答案如何合成"),
    "raters_note": (
        "The mean, plus each rater's deviation from it times its weight. Weights and RMSE come from ratings of the "
        "train part that the rater had not seen.",
        "答案 = 平均值 + 各评分器与平均值之差 × 权重。权重与 RMSE 取自训练集中该评分器未见过的评分。",
    ),
    "rater": ("Rater", "评分器"),
    "stack": ("What each modality is worth", "各模态的价值"),
    "stack_note": (
        "All figures are of rows of the train part that a member had not seen. The answer is the weighted mean of the "
        "members; where a modality is absent other weights count.",
        "各数字均取自训练集中该成员未见过的行。答案是各成员的加权平均；缺少某一模态时采用另一组权重。",
    ),
    "member": ("Member", "成员"),
    "weight": ("Weight", "权重"),
    "history": ("Learning curves", "学习曲线"),
    "history_note": (
        "Train falling while validation rises means that it learns by heart.",
        "训练曲线下降而验证曲线上升，说明模型在死记硬背。",
    ),
    "worst": ("Most wrong", "错得最多的例子"),
    "worst_note": (
        "The test rows with the highest loss: often a wrong label, a misleading picture or a class that is too close.",
        "损失最高的测试行：往往是标签有误、图片有误导，或类别过于相近。",
    ),
    "no_worst": ("No row was answered wrongly.", "没有答错的行。"),
    "no_picture": ("no picture", "无图片"),
    "more": ("more", "展开"),
    "off_by": ("off by", "偏差"),
    "cost": ("What it costs", "成本"),
    "settings": ("Settings and origin", "设置与来源"),
    "run": ("The run, whole", "完整的运行设置"),
    "provenance": ("Where these numbers come from", "这些数字从何而来"),
    "bootstrap": (
        "Intervals: {samples} bootstrap resamples of {unit}, seed {seed}.",
        "区间：按{unit}做 {samples} 次自助重抽样，种子 {seed}。",
    ),
    "by_rows": ("the rows", "行"),
    "by_groups": ("{groups} groups of rows", " {groups} 组行"),
    "by_clusters": (
        "{groups} groups of rows with the same {column}, because their errors are alike (design effect {effect})",
        " {groups} 组{column}相同的行（同组误差相似，设计效应 {effect}）",
    ),
    "leaks": ("Leaks: what the score may owe to the data", "泄漏：分数可能得益于数据之处"),
    "content": ("content", "内容"),
    "way_leaks": ("Leaks", "泄漏"),
    "leaks_note": (
        "Looked for in the rows, whatever the split: equal and nearly equal contents and groups of rows on both sides, "
        "columns that give the target away, rows without a date, targets that cannot be learned.",
        "不论如何划分，都在数据中查找：两侧相同或近似的内容、同组的行、泄露目标的列、没有日期的行、无法学习的目标。",
    ),
    "leak": ("What was found", "发现"),
    "no_leaks": ("None was found.", "没有发现泄漏。"),
    "example": ("Example", "示例"),
    "touched_rows": ("Share of rows", "占行数比例"),
    "severe": ("can explain the score", "可能解释分数"),
    "made_by": (
        "Made by tuwen. This file is complete: it needs no network.",
        "由 tuwen（图文）生成。本文件自成一体，无需联网。",
    ),
    "task_rate": ("predicts a number", "预测数值"),
    "task_binary": ("answers yes or no", "判断是或否"),
    "task_contrast": ("finds what belongs together", "查找相配的内容"),
    "task_rank": ("recommends what is bought next", "推荐接下来会买的商品"),
    "task_search": ("finds what is searched for in words", "用文字搜索"),
    "task_photo-search": ("finds what a photo shows", "以图搜图"),
    "task_classify": ("chooses one of {classes} classes", "从 {classes} 个类别中选一"),
    "test_rows": ("{rows} test rows", "{rows} 行测试数据"),
    "labels": ("trained with {share} % of the labels", "只用 {share}% 的标签训练"),
    "examples": ("Examples: what it finds", "示例：它找到了什么"),
    "examples_note": (
        "Queries drawn at random from the test part, not chosen. Framed: the query's own answer; a twin has the same "
        "text or picture and cannot be told from it.",
        "从测试集中随机抽取的查询，未经挑选。加框：该查询自身的答案；“孪生”为文字或图片相同、无法区分的行。",
    ),
    "asked_with": ("asked with {what}", "用{what}查询"),
    "own_rank": ("own answer at rank {rank} of {answers}", "自身答案排第 {rank} 名（共 {answers} 个）"),
    "own_answer": ("own", "自身"),
    "twin": ("twin", "孪生"),
    "twins_note": (
        "{rows} of the rows share their text or picture with another. Where any of those counts as found, {measured}.",
        "有 {rows} 行与其他行文字或图片相同。若找到其中任意一行都算找到，则{measured}。",
    ),
    "way_comparison": ("Baselines", "基线"),
    "way_knock_out": ("Knock-out", "消融"),
    "way_slices": ("Slices", "分组"),
    "way_confusion": ("Confusion", "混淆矩阵"),
    "way_calibration": ("Calibration", "校准"),
    "way_settings": ("Settings", "设置"),
    "way_cost": ("Cost", "成本"),
    "shorter": ("shorter is better", "越短越好"),
    # charts
    "epoch": ("Epoch", "轮次"),
    "train": ("Train", "训练"),
    "validation": ("Validation", "验证"),
    "says": ("What it says", "它说的"),
    "happens": ("What happens", "实际发生的"),
    "predicted": ("Predicted", "预测"),
    "actual": ("Actual", "实际"),
    "residual": ("Prediction − truth", "预测 − 真实"),
    "best_baseline": ("Best baseline", "最佳基线"),
    "loss": ("Loss", "损失"),
}


BASELINES: dict[str, tuple[Text, Text]] = {  # heading, and as part of a sentence
    "mean": (("Mean", "平均值"), ("always answering the mean", "总答平均值")),
    "median": (("Median", "中位数"), ("always answering the median", "总答中位数")),
    "tfidf_linear": (("TF-IDF, linear", "TF-IDF＋线性"), ("TF-IDF and a linear model", "TF-IDF 加线性模型")),
    "picture_linear": (
        ("Picture vectors, linear", "图片向量＋线性"),
        ("a linear model of picture vectors", "图片向量的线性模型"),
    ),
    "table_linear": (("Table, linear", "表格＋线性"), ("a linear model of the table", "表格的线性模型")),
    "ridge": (
        ("Frozen, ridge", "冻结编码器＋岭回归"),
        ("frozen encoders and a ridge regression", "冻结编码器加岭回归"),
    ),
    "cca": (
        ("Frozen, CCA", "冻结编码器＋CCA"),
        ("frozen encoders and canonical correlations", "冻结编码器加典型相关分析"),
    ),
    "words": (("Words only", "仅文字匹配"), ("words alone", "仅文字匹配")),
    "vectors": (("Vectors only", "仅向量"), ("vectors alone", "仅向量")),
    "reciprocal rank": (("Reciprocal rank", "倒数排名融合"), ("reciprocal rank fusion", "倒数排名融合")),
    "defaults": (("Built-in weights", "内置权重"), ("the built-in weights", "内置权重")),
    "popularity": (("Popularity", "热度"), ("what was bought most", "最畅销的商品")),
    "decayed_popularity": (
        ("Popularity, recent first", "近期热度"),
        ("what is bought most lately", "近期最畅销的商品"),
    ),
    "item_knn": (("Item kNN", "商品近邻"), ("what is bought together", "常一起买的商品")),
    "ease": (("EASE", "EASE"), ("EASE", "EASE")),
    "chance": (("Chance", "随机"), ("chance", "随机排序")),
    "majority": (("Most common class", "最常见类别"), ("always answering the most common class", "总答最常见类别")),
}

THINGS: dict[str, Text] = {  # modalities, slices and their values
    "fold": ("fold", "折"),
    "text": ("text", "文字"),
    "image": ("picture", "图片"),
    "picture_text": ("words in pictures", "图中文字"),
    "audio": ("sound", "声音"),
    "sound": ("sound", "声音"),
    "shape": ("3D shape", "三维形状"),
    "picture": ("picture", "图片"),
    "photo": ("photo", "照片"),
    "poster": ("poster", "海报"),
    "table": ("table", "表格"),
    "title": ("title", "标题"),
    "description": ("description", "描述"),
    "review": ("review", "评论"),
    "item": ("item", "商品"),
    "user": ("user", "用户"),
    "language": ("language", "语言"),
    "category": ("category", "类目"),
    "popularity": ("popularity", "热度"),
    "zh": ("Chinese", "中文"),
    "en": ("English", "英文"),
    "with": ("with", "有"),
    "without": ("without", "无"),
    "seen": ("seen in training", "训练中见过"),
    "new": ("new", "新"),
    "events": ("events", "事件"),
    "missing": ("missing", "缺失"),
    "present": ("present", "有"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "cold": ("cold", "冷启动"),
    "warm": ("warm", "已知"),
    "head": ("head", "头部"),
    "tail": ("tail", "长尾"),
    "launch": ("order of launch", "上新顺序"),
    "cut": ("cut in time", "时间切分点"),
    "shopper": ("shopper", "顾客"),
    "new shopper": ("no purchase before", "此前没有购买"),
    "few purchases": ("1 to 4 purchases before", "此前购买 1 至 4 件"),
    "many purchases": ("5 or more purchases before", "此前购买 5 件以上"),
    "other": ("other", "其他"),
    "none": ("none", "无"),
}

SPLITS: dict[str, Text] = {
    "hash": ("chosen by content, so that copies stay on one side", "按内容划分，重复内容只在一侧"),
    "time": ("everything after one date, as in real use", "取某一日期之后的全部数据，与实际使用一致"),
    "asked": (
        "questions whose right answers are known; no weight was chosen on the question it answers",
        "答案已知的提问；任何权重都不是在被回答的问题上选定的",
    ),
    "rolling": (
        "several dates; at each a model knows what was before it and nothing else, as in real use",
        "多个日期；每个日期的模型只知道此前的数据，与实际使用一致",
    ),
    "per-user": (
        "the last events of each shopper: what others did later was known, so the figures may be too good",
        "每位顾客最后的行为：模型知道其他顾客此后的行为，结果可能偏高",
    ),
    "column": ("the split that came with the data", "数据自带的划分"),
    "folds": (
        "cross-validation: every row was tested once, by a model that had not seen it",
        "交叉验证：每行由没见过它的模型测试一次",
    ),
    "random": (
        "a random draw: near copies may stand on both sides, so the figures may be too good",
        "随机划分：相似的行可能两侧都有，结果可能偏高",
    ),
}

LEAKY = ("random", "per-user")  # splits that know what they are asked about, or what came after it

COSTS: dict[str, Text] = {
    "prepare_seconds": ("Preparation", "准备"),
    "trained_parameters": ("Trained parameters", "训练的参数量"),
    "train_seconds": ("Training", "训练"),
    "preprocess_seconds": ("Preprocessing", "预处理"),
    "evaluate_seconds": ("Evaluation", "评估"),
    "predict_seconds": ("Prediction", "预测"),
    "collect_seconds": ("Collection", "采集"),
    "peak_memory_mb": ("Peak memory", "内存峰值"),
    "bundle_mb": ("Bundle", "模型包"),
    "latency_p50_ms": ("Answer, median", "单次回答，中位"),
    "latency_p95_ms": ("Answer, 95th percentile", "单次回答，95 分位"),
    "rows_per_second": ("Rows per second", "每秒行数"),
    "parameters": ("Parameters", "参数量"),
    "epochs": ("Epochs", "轮数"),
}

PROVENANCE: dict[str, Text] = {
    "commit": ("Commit", "代码版本"),
    "data_hash": ("Data hash", "数据哈希"),
    "seed": ("Seed", "随机种子"),
    "tuwen": ("tuwen version", "tuwen 版本"),
    "time": ("Time", "时间"),
    "trained_on": ("Trained on data", "训练数据哈希"),
    "shop": ("Shop", "店铺"),
    "starts_from": ("Starts from", "起点"),
    "trained_on_shop": ("Trained on the shop", "训练所用店铺"),
    "split": ("Split", "划分"),
    "folds": ("Folds", "折数"),
    "rows": ("Rows", "行数"),
    "rows_without_truth": ("Rows without truth", "无真值的行"),
    "best_epochs": ("Best epochs", "最佳轮次"),
    "dataset": ("Dataset", "数据集"),
    "bundle": ("Bundle", "模型包"),
    "device": ("Device", "设备"),
    "python": ("Python", "Python"),
    "machine": ("Machine", "机器"),
}


def thing(name: str) -> Text:
    """A modality, slice or slice value in both languages; a name nobody foresaw stands as it is."""
    of, _, last = name.lower().rpartition("_")
    if last == "language" and of:
        english, chinese = thing(of)
        return f"{english} language", f"{chinese}语言"
    if " + " in name:  # modalities that go together
        each = [thing(one) for one in name.split(" + ")]
        return " + ".join(one[0] for one in each), " + ".join(one[1] for one in each)
    return THINGS.get(name.lower(), (name, name))


def baseline_heading(name: str) -> Text:
    """A system as the heading of a column."""
    if name in BASELINES:
        return BASELINES[name][0]
    english, chinese = baseline_phrase(name)
    return (name, name) if english == name else (english[:1].upper() + english[1:], chinese)


def baseline_phrase(name: str) -> Text:
    """A system inside a sentence: "better than …"."""
    if name in BASELINES:
        return BASELINES[name][1]
    only = re.fullmatch(r"(.+?)[ _-]only", name)
    if only or name in THINGS:
        english, chinese = thing(only[1] if only else name)
        return f"{english} only", f"仅用{chinese}"
    return name, name


def label(name: str, known: dict[str, Text]) -> Text:
    """The words for a key, or the key itself made readable."""
    spelt = name.replace("_", " ")
    return known.get(name, (spelt[:1].upper() + spelt[1:], spelt))
