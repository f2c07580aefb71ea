"""Words in pictures: what is read, how surely, and that nothing a picture holds is an error."""

import hashlib
import json
import random

import numpy as np
import PIL.Image
import pytest

from signs import errors, need_fonts, need_reader, sign
from tuwen.errors import BundleError, ConfigError, MissingExtra
from tuwen.preprocess import MODALITIES
from tuwen.preprocess import picture_text as module
from tuwen.preprocess import weights as weights_module
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import load
from tuwen.preprocess.ocr import Line, LineCache, Reader, networks, text_of
from tuwen.preprocess.ocr.line import in_reading_order
from tuwen.preprocess.ocr.reader import _turns
from tuwen.preprocess.ocr.regions import regions
from tuwen.preprocess.text import Text
from tuwen.registry import signature_model

CHINESE = ["限时折扣包邮", "纯棉四件套", "加厚羽绒服", "保质期十八个月", "敏感肌适用", "家用大容量", "送货上门"]
ENGLISH = ["Free shipping", "100% cotton", "Size M fits all", "Made in Italy", "Waterproof jacket", "Net weight 250g"]


@pytest.fixture(scope="module")
def reader():
    need_reader()
    need_fonts()
    return Reader()


# --- Reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [CHINESE, ENGLISH], ids=["Chinese", "English"])
def test_planted_lines_are_read(reader, lines):
    draw = random.Random(7)
    wrong = written = 0
    for first in range(0, len(lines) - 1, 2):
        paper = tuple(draw.choices(range(170, 256), k=3))
        ink = tuple(draw.choices(range(90), k=3))
        size = draw.choice([320, 640])
        two = lines[first : first + 2]
        found = reader.read(sign(two, size=size, height=draw.randint(16, 28), paper=paper, ink=ink))
        wrong += errors(text_of(found), "\n".join(two))
        written += len("\n".join(two))
    assert wrong / written <= 0.025


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_picture_that_lies_on_its_side_or_stands_on_its_head_is_read(reader, turn):
    found = reader.read(sign(["限时折扣", "jacket"], size=192, height=40, turn=turn))
    assert sorted(line.text for line in found) == ["jacket", "限时折扣"]
    assert {line.turn for line in found} == {360 - turn}
    if turn == 180:
        assert text_of(found) == "限时折扣\njacket"


def test_chinese_from_top_to_bottom_is_read_from_the_right(reader):
    assert text_of(reader.read(sign(["夏季新款连衣裙", "纯棉四件套"], down=True))) == "夏季新款连衣裙\n纯棉四件套"


def test_a_narrow_digit_is_not_turned(reader):
    (line,) = reader.read(sign(["1"], size=96, height=70))
    assert line.turn == 0
    assert line.text in "1lI|"
    assert _turns(10, 20) == (0, 90, 270), "what is twice as high as wide may be one digit"
    assert (_turns(10, 30)[0], _turns(30, 10)) == (90, (0, 180))


@pytest.mark.parametrize(
    "data",
    [
        sign([], size=64),
        sign([], size=320, paper="black"),
        b"",
        b"\xff\xd8 no picture",
        sign(["half"], size=96)[:500],
        sign([], size=1),
    ],
    ids=["white", "black", "empty", "no picture", "half", "one pixel"],
)
def test_nothing_to_read_is_no_line(reader, data):
    assert reader.read(data) == []


def test_noise_and_stripes_are_answers(reader):
    noise = np.random.default_rng(0).integers(0, 256, (200, 640, 3), dtype=np.uint8)
    noise[:, ::4] = 0
    for picture in (PIL.Image.fromarray(noise), PIL.Image.new("CMYK", (9, 900)), PIL.Image.new("L", (2000, 8))):
        assert isinstance(reader.read(_jpeg(picture)), list)


def test_two_thousand_words_are_bounded_work(reader, monkeypatch):
    widths = []

    def counted(line):
        widths.append(line.size)
        return "", 0.0

    monkeypatch.setitem(reader.__dict__, "_recogniser", counted)
    found = reader.read(_jpeg(_page(words=2000, side=1024)))
    assert len(found) <= reader.most_lines
    few = Reader(most_lines=5)
    few.__dict__["_recogniser"] = counted
    few.__dict__["_detector"] = lambda picture: np.tile([0.0, 0.0, 0.05, 0.04], (2000, 1))
    widths.clear()
    few.read(sign([], size=320))
    assert len(widths) == 2 * 5  # each upright and upside down
    few.most_lines = 2000
    few.__dict__["_detector"] = lambda picture: np.tile([0.0, 0.0, 1.0, 0.04], (2000, 1))
    widths.clear()
    few.read(sign([], size=320))
    assert 0 < len(widths) <= 8  # of 1,020 pixels


def test_what_is_read_without_being_sure_is_no_line():
    need_reader()
    reader = Reader()
    reader.__dict__["_detector"] = lambda picture: np.array([[0.0, 0.0, 1.0, 0.1], [0.0, 0.5, 1.0, 0.6]])
    answers = iter([("no", 0.3), ("nothing", 0.49), ("maybe", 0.6), ("  ", 0.99)])
    reader.__dict__["_recogniser"] = lambda line: next(answers)
    assert [(line.text, line.turn) for line in reader.read(sign([], size=320))] == [("maybe", 0)]


def test_the_networks_see_blue_first():
    red = PIL.Image.new("RGB", (2, 1), (255, 0, 0))
    np.testing.assert_array_equal(networks._pixels(red)[:, 0, 0], [-1.0, -1.0, 1.0])


def test_boxes_lie_around_their_lines(reader):
    (line,) = reader.read(sign(["纯棉四件套"], size=640, height=28))
    left, top, right, bottom = line.box
    assert left < 12 / 320 < right < 0.6
    assert 0 < top < 30 / 320 < 50 / 320 < bottom < 0.3


def test_a_picture_is_read_alone(reader):
    data = [sign([text], size=160, height=20) for text in ("纯棉", "cotton", "M 号")]
    alone = [reader.read(one) for one in data]
    assert [reader.read(one) for one in data[::-1]][::-1] == alone


def _page(words: int, side: int) -> PIL.Image.Image:
    import PIL.ImageDraw
    import PIL.ImageFont

    page = PIL.Image.new("RGB", (side, side), "white")
    draw, font = PIL.ImageDraw.Draw(page), PIL.ImageFont.load_default(11)
    row = words // 50
    for line in range(50):
        draw.text((2, line * side // 50), " ".join(f"w{line}x{i}"[:4] for i in range(row)), fill="black", font=font)
    return page


def _jpeg(picture: PIL.Image.Image) -> bytes:
    import io

    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


# --- Regions and order --------------------------------------------------------------------------------------------


def test_regions_are_those_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(3)
    for height, width in ((1, 1), (1, 9), (40, 1), (37, 53), (64, 64)):
        for share in (0.0, 0.05, 0.3, 0.6, 1.0):
            probabilities = np.where(rng.random((height, width)) < share, rng.random((height, width)), 0).astype("f4")
            found = regions(probabilities, 0.3)
            mask = probabilities > 0.3
            grown = mask.copy()
            grown[1:] |= mask[:-1]
            grown[:, 1:] |= grown[:, :-1].copy()
            labels, count = ndimage.label(grown, np.ones((3, 3)))
            boxes = [[x.start, y.start, x.stop, y.stop] for y, x in ndimage.find_objects(labels)]
            assert sorted(found.boxes.tolist()) == sorted(boxes)
            scores = ndimage.mean(probabilities.astype(float), labels, range(1, count + 1)) if count else []
            np.testing.assert_allclose(sorted(found.scores), sorted(scores), atol=1e-9)


def test_rows_are_read_before_columns():
    rows = [(0.5, 0.1), (0.1, 0.12), (0.1, 0.4)]
    lines = [Line(str(i), 1.0, (x, y, x + 0.3, y + 0.08)) for i, (x, y) in enumerate(rows)]
    down = [Line(str(i), 1.0, (x, 0.1, x + 0.05, 0.9), 90) for i, x in ((3, 0.2), (4, 0.9))]
    assert "".join(line.text for line in in_reading_order([*down, *lines], (320, 320))) == "10243"


# --- The modality -------------------------------------------------------------------------------------------------


def test_its_arrays_are_those_of_the_words_as_text(reader):
    pictures = [sign(["纯棉四件套"], size=160, height=20), None, [], sign([], size=64), "red dress"]
    pictures.append([sign(["cotton"], size=160, height=20), sign([], size=64), sign(["纯棉"], size=160, height=20)])
    texts = ["纯棉四件套", None, None, None, "red dress", "cotton\n纯棉"]
    modality, text = MODALITIES.build("picture-text", {"tokens": "character"}), Text(tokens="character")
    for one, values in ((modality, pictures), (text, texts)):
        one.fit(values)
    assert modality.spec == text.spec
    arrays, present = modality.encode(pictures)
    np.testing.assert_array_equal(arrays["ids"], text.encode(texts)[0]["ids"])
    assert present.tolist() == [True, False, False, False, True, True]


def test_of_several_pictures_the_first_count(reader):
    pictures = [sign([text], size=160, height=20) for text in ("one", "two", "three")]
    assert MODALITIES.build("picture-text", {"pictures": 2}).read(pictures) == "one\ntwo"


def test_saved_it_needs_no_wheel(reader, tmp_path, monkeypatch):
    modality = MODALITIES.build("picture-text", {"tokens": "character", "side": 256})
    picture = sign(["cotton"], size=160, height=20)
    modality.fit([picture])
    modality.save(tmp_path / "words")

    def missing(name):
        raise MissingExtra("ocr", name)

    monkeypatch.setattr("tuwen.preprocess.ocr.reader.find", missing)
    again = load(tmp_path / "words")
    assert again.reader.side == 256
    assert again.read(picture) == "cotton"
    assert again.reader.fingerprint == modality.reader.fingerprint
    with pytest.raises(MissingExtra, match=r"(?s)reading the words in pictures needs the extra 'ocr'.*\[ocr\]"):
        MODALITIES.build("picture-text", {}).fit([])
    next((tmp_path / "words").glob("*.onnx")).unlink()
    with pytest.raises(BundleError, match="network"):
        load(tmp_path / "words")


def test_a_network_that_is_not_the_tested_one_is_refused(reader, tmp_path, monkeypatch):
    weights = weights_module.WEIGHTS["ppocr-detection"]
    changed = type(weights)(**vars(weights) | {"sha256": "0" * 64})
    monkeypatch.setitem(weights_module.WEIGHTS, "ppocr-detection", changed)
    with pytest.raises(Exception, match="not the file that tuwen was tested with"):
        Reader()


def test_a_damaged_network_is_an_error_of_the_bundle(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="a network that reads pictures cannot be read"):
        Reader(networks=(tmp_path / "a.onnx", tmp_path / "a.onnx")).read(sign([], size=64))


def test_it_has_the_options_of_a_text():
    own, text = (signature_model(one).model_fields for one in (module.PictureText, Text))
    assert own.keys() - text.keys() == {"pictures", "side", "lines"}
    assert {name: own[name].default for name in text} == {name: field.default for name, field in text.items()}
    with pytest.raises(ConfigError, match="multiple of 32"):
        MODALITIES.build("picture-text", {"side": 300})


def test_what_a_vector_depends_on_holds_how_pictures_are_read(reader, tmp_path):
    (tmp_path / "n.onnx").write_bytes(b"x")
    names = set()
    for side in (256, 320):
        modality = MODALITIES.build("picture-text", {"tokens": "character", "side": side})
        modality.fit(["a"])
        names.add(Frozen(modality, tmp_path / "n.onnx").fingerprint)
    assert len(names) == 2


# --- The cache ----------------------------------------------------------------------------------------------------

LINES = [Line("a\u2028b", 0.9, (0.0, 0.1, 0.5, 0.2)), Line("纯棉", 1.0, (0.1, 0.2, 0.3, 0.4), 90)]


def test_no_picture_is_read_twice(tmp_path):
    asked = []

    def read(key):
        asked.append(key)
        return LINES if key == "k1" else []

    found = LineCache(tmp_path).fetch(["k1", "k2", "k1"], read)
    assert found == {"k1": LINES, "k2": []}
    assert LineCache(tmp_path).fetch(["k2", "k1", "k3"], read) == found | {"k3": []}
    assert asked == ["k1", "k2", "k3"]


def test_a_killed_run_keeps_what_it_wrote(tmp_path):
    def read(key):
        if key == "k3":
            raise KeyboardInterrupt
        return LINES

    with pytest.raises(KeyboardInterrupt):
        LineCache(tmp_path).fetch(["k1", "k2", "k3"], read)
    assert len(LineCache(tmp_path)) == 2


def test_a_damaged_shard_counts_as_absent(tmp_path):
    LineCache(tmp_path).fetch(["k1", "k2"], lambda key: LINES)
    (shard,) = tmp_path.glob("*.jsonl")
    first, second, _ = shard.read_text(encoding="utf-8").split("\n")
    shard.write_text(f"{first}\n{second[:20]}\n[1]\n7\n", encoding="utf-8")
    (tmp_path / "0.jsonl").write_bytes(b"\xff\xfe")
    cache = LineCache(tmp_path)
    assert len(cache) == 1
    assert cache.fetch(["k1", "k2"], lambda key: []) == {json.loads(first)[0]: LINES, "k2": []}


def test_the_names_of_caches_differ_by_what_is_read(reader):
    assert (
        len({Reader(side=side, most_lines=lines).fingerprint for side, lines in ((320, 64), (640, 64), (320, 9))}) == 3
    )
    assert len(hashlib.sha256(reader.fingerprint.encode()).hexdigest()) == 64
