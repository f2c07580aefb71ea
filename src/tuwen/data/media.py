"""One door for pictures: whatever a shop has → an upright, small, plain RGB JPEG; or a reason why not.

Collect and serving both go through :func:`normalise`, so a picture posted to the service becomes the bytes that
training saw.
"""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from tuwen.data.jpeg import plain
from tuwen.data.looks import looks_like
from tuwen.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

QUALITY = 90
KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"


def normalise(data: bytes, *, max_bytes: int, max_pixels: int, max_side: int, min_side: int) -> bytes:
    """The picture in ``data`` as a plain 8-bit YCbCr JPEG: upright, at most ``max_side`` long, without metadata.

    A JPEG that is already so keeps its coefficients; only its metadata goes. Everything else is decoded (the first
    frame, transparency on white, 16 bits to 8, CMYK to RGB), shrunk with Lanczos and encoded with quality 90.
    Idempotent and deterministic: the same bytes in, the same bytes out.

    Args:
        max_bytes: larger files are refused before they are looked at.
        max_pixels: larger pictures are refused before they are decoded.
        max_side: pixels; the longer side of the result.
        min_side: pixels; a picture whose shorter side is or becomes smaller is refused.

    Raises:
        DataError: ``what`` is the reason, short and the same for all pictures of its kind.
    """
    if len(data) > max_bytes:
        raise DataError("too many bytes", seen=f"{len(data):,} bytes", allowed=f"at most {max_bytes:,} bytes")
    kind = _kind(data)
    parts = plain(data) if kind == "jpeg" else None
    picture = _open(data, kind)
    width, height = picture.size
    if width * height > max_pixels:
        raise DataError("too many pixels", seen=f"{width} × {height}", allowed=f"at most {max_pixels:,} pixels")
    if min(width, height) < min_side:
        raise DataError("too small", seen=f"{width} × {height}", allowed=f"sides of at least {min_side} pixels")
    size = _shrunk(width, height, max_side)
    if min(size) < min_side:
        raise DataError("too narrow", seen=f"{width} × {height}", allowed=f"at least {min_side} pixels when shrunk")
    rgb = None
    if parts is not None and parts.common and (parts.width, parts.height) == (width, height):
        if size == (width, height) and _turn(picture) is None and _sound(parts.data):
            return parts.data
        rgb = _scaled(parts.data, size)
    if rgb is None:
        rgb = _decoded(picture, size)
    return _encoded(rgb, size, _turn(picture))


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height by the header; no pixel is decoded.

    Raises:
        DataError: it is no picture, or its header is broken.
    """
    width, height = _open(data, _kind(data)).size
    return width, height


def _kind(data: bytes) -> str:
    """What the first bytes say the file is."""
    head = data[:512]
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    for magic, kind in ((b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"), (b"BM", "bmp")):
        if head.startswith(magic):
            return kind
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and not _brands(head).isdisjoint((b"avif", b"avis")):
        return "avif"
    if not data:
        raise DataError("empty file", allowed=KINDS)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")) or b"<head" in text or b"<body" in text:
        raise DataError("a web page, not a picture", seen=looks_like(head), allowed=KINDS)
    raise DataError("not a picture", seen=looks_like(head), allowed=KINDS)


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file says it is compatible with: its major brand may be a general one (``mif1``)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[offset : offset + 4] for offset in range(16, end - 3, 4))}


def _open(data: bytes, kind: str) -> Image:
    """The picture with its header read and its pixels not. The plug-in is named, so that no other is ever tried."""
    name = "WebP" if kind == "webp" else kind.capitalize()
    try:
        opened: Image = getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")(BytesIO(data))
    except Exception as error:
        raise _broken(kind, error) from None
    return opened


def _broken(kind: str, error: Exception) -> DataError:
    what = "truncated picture" if "truncated" in str(error).lower() else "broken picture"
    return DataError(what, seen=f"{kind}: {str(error) or type(error).__name__}"[:200])


def _shrunk(width: int, height: int, max_side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= max_side:
        return width, height
    return max(1, round(width * max_side / longest)), max(1, round(height * max_side / longest))


def _sound(data: bytes) -> bool:
    """Whether a JPEG decodes without a single complaint."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY")  # reads every coefficient of every colour, so damage shows
    except ValueError:
        return False
    return True


def _scaled(data: bytes, size: tuple[int, int]) -> Image | None:
    """A JPEG decoded at the smallest scale that still covers ``size``; None where the decoder complains."""
    import simplejpeg
    from PIL import Image as pillow

    try:
        return pillow.fromarray(simplejpeg.decode_jpeg(data, "RGB", min_height=size[1], min_width=size[0]))
    except ValueError:
        return None


def _decoded(picture: Image, size: tuple[int, int]) -> Image:
    """The first frame as 8-bit RGB, by Pillow, which tells harmless oddities from real damage."""
    from PIL import Image as pillow

    try:
        picture.draft(None, size)
        picture.load()
        if picture.mode.startswith("I"):  # 16 bits: Pillow's own conversion would clip them
            return pillow.fromarray(np.clip(np.asarray(picture).astype(np.int64) >> 8, 0, 255).astype(np.uint8))
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            return pillow.alpha_composite(pillow.new("RGBA", layer.size, "white"), layer)
        return picture.convert("RGB")
    except Exception as error:
        raise _broken(picture.format or "picture", error) from None


def _turn(picture: Image) -> Transpose | None:
    """How to transpose the picture so that it stands upright, as EXIF says; None: it does."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        return turns.get(picture.getexif().get(0x0112, 1))
    except Exception:  # EXIF is whatever a camera or an attacker wrote: unreadable, it turns nothing
        return None


def _encoded(picture: Image, size: tuple[int, int], turn: Transpose | None) -> bytes:
    """Pixels shrunk to ``size``, then turned, as a plain JPEG."""
    import simplejpeg
    from PIL.Image import Resampling

    picture = picture.convert("RGB")
    if picture.size != size:
        picture = picture.resize(size, Resampling.LANCZOS)
    if turn is not None:
        picture = picture.transpose(turn)
    pixels = np.ascontiguousarray(picture)
    parts = plain(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="RGB", colorsubsampling="420"))
    assert parts is not None
    return parts.data
