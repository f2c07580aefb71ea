"""COLLECT: a shop's own files in, validated tables and a media store out."""

from tuwen.registry import Registry

SPLITS = Registry(
    "split",
    {
        "hash": ("tuwen.data.splits:Hash", "by a hash of the normalised content: duplicates stay on one side"),
        "time": ("tuwen.data.splits:Time", "one global cut in time"),
        "column": ("tuwen.data.splits:Column", "as a column of the table says"),
        "folds": ("tuwen.data.splits:Folds", "k folds by content hash, classes balanced"),
        "random": ("tuwen.data.splits:Random", "a random draw; labelled in the report, for it may leak"),
    },
)
