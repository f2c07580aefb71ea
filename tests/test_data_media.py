"""normalise: one door for pictures, whatever comes through it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tuwen.data.jpeg import plain
from tuwen.data.looks import looks_like
from tuwen.data.media import normalise
from tuwen.errors import DataError

LIMITS = {"max_bytes": 5_000_000, "max_pixels": 4_000_000, "max_side": 128, "min_side": 2}
GPS = b"Exif-GPS-52.5200N-13.4050E"


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A smooth picture, so that JPEG changes it little: red grows to the right, green downwards."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, np.full_like(x, 90)], -1).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == "JPEG" and image.mode == "RGB"
    return image


def normal(data: bytes, **limits: int) -> Image.Image:
    return opened(normalise(data, **{**LIMITS, **limits}))


def distance(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def reason(data: bytes, **limits: int) -> str:
    with pytest.raises(DataError) as error:
        normalise(data, **{**LIMITS, **limits})
    return error.value.what


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 80, "progressive": True}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
@pytest.mark.parametrize("size", [(60, 40), (300, 200)])
def test_every_kind_becomes_the_same_picture(kind: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    source = photo(*size)
    result = normal(saved(source, kind, **options))
    expected = source if max(size) <= 128 else source.resize((128, 85), Image.Resampling.LANCZOS)
    assert result.size == expected.size
    assert distance(result, expected) < (12 if kind == "GIF" else 4)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    source = photo(60, 40, mode)
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    result = normal(saved(source, kind, **({"quality": 95} if kind == "JPEG" else {})))
    assert distance(result, source.convert("RGB")) < (15 if mode == "P" else 6)  # a dithered palette suffers in JPEG


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    wide = (np.linspace(0, 65535, 60)[None, :].repeat(40, 0)).astype(np.uint16)
    result = np.asarray(normal(saved(Image.fromarray(wide), "PNG")), float)[..., 0].mean(0)
    assert np.abs(result - np.linspace(0, 255, 60)).max() < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode: str) -> None:
    source = Image.new(mode, (40, 40), (0, 0) if mode == "LA" else (0, 0, 0, 0))
    assert np.asarray(normal(saved(source, "PNG"))).min() > 250


def test_transparent_palette_lies_on_white() -> None:
    source = Image.new("P", (40, 40), 0)
    source.putpalette([0, 0, 0, 255, 0, 0])
    assert np.asarray(normal(saved(source, "PNG", transparency=0))).min() > 250


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(normal(data))[20, 20].tolist() == pytest.approx([254, 0, 0], abs=3)
    webp = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert np.asarray(normal(webp))[20, 20].tolist() == pytest.approx([254, 0, 0], abs=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(60, 40), (300, 200)])
def test_upright_as_exif_says(orientation: int, size: tuple[int, int]) -> None:
    upright = photo(*size)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    camera = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = normal(saved(camera, quality=95, exif=exif))
    expected = upright if max(size) <= 128 else upright.resize((128, 85), Image.Resampling.LANCZOS)
    assert result.size == expected.size
    assert distance(result, expected) < 4


def test_a_small_jpeg_keeps_its_pixels_and_loses_its_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = GPS.decode()
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    data = saved(photo(60, 40), exif=exif, comment=b"secret comment", icc_profile=b"secret profile" * 20) + b"trailing"
    result = normalise(data, **LIMITS)
    assert np.array_equal(np.asarray(opened(result)), np.asarray(opened(data)))
    for secret in (GPS, b"Exif", b"secret", b"trailing"):
        assert secret in data and secret not in result
    assert not opened(result).getexif()


def test_metadata_goes_also_where_the_picture_is_encoded_anew() -> None:
    exif = Image.Exif()
    exif[0x010E] = GPS.decode()
    for kind in ("JPEG", "PNG", "WEBP"):
        data = saved(photo(300, 200), kind, exif=exif)
        assert GPS in data and GPS not in normalise(data, **LIMITS)


@settings(max_examples=60)
@given(
    width=st.integers(2, 300),
    height=st.integers(2, 300),
    quality=st.integers(5, 100),
    subsampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
)
def test_normalise_is_idempotent_and_bounded(
    width: int, height: int, quality: int, subsampling: int, progressive: bool, mode: str
) -> None:
    data = saved(photo(width, height, mode), quality=quality, subsampling=subsampling, progressive=progressive)
    try:
        once = normalise(data, **LIMITS)
    except DataError as error:
        assert error.what == "too narrow" and min(width, height) * 128 / max(width, height) < 2.5
        return
    assert normalise(once, **LIMITS) == once
    assert normalise(data, **LIMITS) == once
    assert max(opened(once).size) == min(128, max(width, height))


@settings(max_examples=150)
@given(data=st.data())
def test_damage_is_a_reason_never_a_crash(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"]))
    whole = bytearray(saved(photo(40, 30), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        opened(normalise(damaged, **LIMITS))
    except DataError as error:
        assert error.what


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_truncated(kind: str) -> None:
    rng = np.random.default_rng(0)
    whole = saved(Image.fromarray(rng.integers(0, 255, (100, 100, 3), dtype=np.uint8)), kind)
    assert reason(whole[: len(whole) // 2]) in ("truncated picture", "broken picture")


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [2_001, 12_000, 50_000])
def test_a_png_bomb_is_refused_by_its_header(side: int) -> None:
    assert reason(png_header(side, side)) == "too many pixels"


def test_a_jpeg_that_claims_too_much_is_refused() -> None:
    data = saved(photo(40, 30))
    at = data.index(b"\xff\xc0")
    data = data[: at + 5] + struct.pack(">HH", 60_000, 60_000) + data[at + 9 :]
    assert reason(data) == "too many pixels"


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    data = saved(photo(40, 30), progressive=True)
    at = data.rindex(b"\xff\xda")
    assert reason(data[:at] + data[at:-2] * 1000 + data[-2:]) == "too many scans"


def test_other_reasons() -> None:
    assert reason(b"") == "empty file"
    assert reason(b"<!DOCTYPE html><html><body>404</body></html>") == "a web page, not a picture"
    assert reason(b"\n  <html lang=en>") == "a web page, not a picture"
    assert reason(b"%PDF-1.4 something") == "not a picture"
    assert reason(saved(photo(60, 40)), max_bytes=100) == "too many bytes"
    assert reason(saved(Image.new("RGB", (1, 1)), "PNG")) == "too small"
    assert reason(saved(Image.new("RGB", (3000, 3)), "PNG")) == "too narrow"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.4 \xff", "a PDF"),
        (b"PK\x03\x04\0\0", "a ZIP archive, as DOCX and XLSX are"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbfnot a\npicture", "text beginning 'not a picture'"),
        (("图片" * 400).encode(), "text beginning '" + "图片" * 12 + "…'"),
        (bytes(range(30)), "bytes 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17…"),
        (b"\xfe\xed", "bytes fe ed"),
    ],
)
def test_what_is_no_picture_is_told_in_words(data: bytes, words: str) -> None:
    with pytest.raises(DataError) as told:
        normalise(data, max_bytes=10**6, max_pixels=10**6, max_side=512, min_side=2)
    assert told.value.seen == words


@given(st.binary(min_size=1, max_size=600))
def test_whatever_bytes_are_sent_what_they_look_like_can_be_read(data: bytes) -> None:
    words = looks_like(data)
    assert words and len(words) < 120 and words.isprintable()


def test_a_jpeg_without_its_end_is_truncated_and_one_with_filling_is_not() -> None:
    whole = saved(photo(60, 40))
    assert reason(whole[:-2]) == "truncated picture"
    at = whole.index(b"\xff\xdb")
    assert np.array_equal(np.asarray(normal(whole[:at] + b"\xff\xff" + whole[at:])), np.asarray(opened(whole)))


def test_adobe_rgb_coded_jpeg_is_not_mistaken_for_ycc() -> None:
    source = photo(60, 40)
    data = saved(source, quality=95, keep_rgb=True)
    parts = plain(data)
    assert parts is not None and not parts.common
    assert distance(normal(data), source) < 4


def test_shrinking_uses_less_than_the_whole_picture_but_looks_the_same() -> None:
    source = photo(1600, 1200)
    draw = ImageDraw.Draw(source)
    draw.rectangle((400, 300, 1200, 900), fill="white")
    expected = source.resize((128, 96), Image.Resampling.LANCZOS)
    assert distance(normal(saved(source, quality=95)), expected) < 3
