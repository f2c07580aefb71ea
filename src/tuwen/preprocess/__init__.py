"""PREPROCESS: raw → arrays, fitted once and replayed identically in serving. No torch here."""

from tuwen.registry import Registry

MODALITIES = Registry(
    "modality",
    {
        "image": ("tuwen.preprocess.image:Image", "pictures as upright, resized RGB pixels"),
        "text": ("tuwen.preprocess.text:Text", "Chinese and English text as words, characters, sub-words or n-grams"),
        "picture-text": ("tuwen.preprocess.picture_text:PictureText", "the words in pictures, read and used as text"),
        "audio": ("tuwen.preprocess.audio:Audio", "sounds as log-mel spectrograms"),
        "shape": ("tuwen.preprocess.shape:Shape", "3D shapes as points of their surface"),
        "table": ("tuwen.preprocess.table:Table", "numbers, categories and dates"),
    },
)
