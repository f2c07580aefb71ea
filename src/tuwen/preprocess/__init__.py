"""PREPROCESS: raw → arrays, fitted once and replayed identically in serving. No torch here."""

from tuwen.registry import Registry

MODALITIES = Registry(
    "modality",
    {
        "image": ("tuwen.preprocess.image:Image", "pictures as upright, resized RGB pixels"),
        "text": ("tuwen.preprocess.text:Text", "Chinese and English text as words, characters, sub-words or n-grams"),
        "table": ("tuwen.preprocess.table:Table", "numbers, categories and dates"),
    },
)
