"""One door for 3D shapes: an OBJ, STL or PLY file → its bare surface as a binary PLY; or a reason why not.

Collect and serving both go through :func:`normalise`, so a shape posted to the service becomes the bytes that training
saw. Materials, textures, colours and names go; an OBJ loses every line but its vertices and faces before it is parsed,
so that no file can name another one.
"""

from __future__ import annotations

import logging
import re
from io import BytesIO
from typing import Any

import numpy as np

from tuwen.data.kinds import need_file
from tuwen.data.looks import looks_like
from tuwen.errors import DataError, MissingExtra

FORMATS = "OBJ, STL, PLY"
_SILENT = logging.NullHandler()
PARTS = 1_000  # solids of one text STL; a million empty ones are a way to keep a parser busy
STL_HEADER, STL_FACE = 84, 50  # bytes
_BREAKS = (b"\n", b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
_SLASHED = re.compile(rb"/[^ \t\n]*")  # texture and normal of a corner
_ELEMENT = re.compile(rb"^element[ \t]+(\w+)[ \t]+(-?\d+)", re.MULTILINE)


def normalise(data: bytes, *, max_bytes: int, max_vertices: int, max_faces: int) -> bytes:
    """The shape in ``data`` as a little-endian binary PLY: f32 vertices and triangles, in the file's order.

    A file of points without faces stays a cloud of points. Idempotent and deterministic.

    Args:
        max_bytes: larger files are refused before they are looked at.
        max_vertices, max_faces: more is refused, where the file says how many before it is parsed.

    Raises:
        DataError: ``what`` is the reason, short and the same for all shapes of its kind.
        MissingExtra: the extra 'shape' is not installed.
    """
    vertices, faces = read(data, max_bytes=max_bytes, max_vertices=max_vertices, max_faces=max_faces)
    triangles = np.empty(len(faces), [("corners", "u1"), ("at", "<i4", 3)])
    triangles["corners"], triangles["at"] = 3, faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    if len(faces):
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    text = "\n".join([*header, "end_header\n"])
    return text.encode("ascii") + vertices.astype("<f4").tobytes() + triangles.tobytes()


def read(data: bytes, *, max_bytes: int, max_vertices: int, max_faces: int) -> tuple[np.ndarray, np.ndarray]:
    """The surface in ``data``: vertices f32 [n, 3] and triangles int64 [m, 3], where m is 0 for a cloud of points.

    Raises:
        DataError: no shape, a broken one, one without extent, or more than the limits allow.
        MissingExtra: the extra 'shape' is not installed.
    """
    need_file(data, "shape", FORMATS, max_bytes)
    kind = _kind(data)
    told = _counted(data, kind)
    _check(told, max_vertices, max_faces)
    vertices, faces = _parsed(_bare_obj(data) if kind == "obj" else data, kind)
    _check((len(vertices), len(faces)), max_vertices, max_faces)
    if kind == "ply" and (len(vertices) < told[0] or len(faces) < told[1]):
        seen = f"ply: {len(vertices):,} vertices of {told[0]:,}, {len(faces):,} faces of {told[1]:,}"
        raise DataError("truncated shape", seen=seen)
    if not len(vertices):
        raise DataError("a shape without a surface", seen=f"{kind}: no vertex")
    if not np.isfinite(vertices).all():
        raise DataError("broken shape", seen=f"{kind}: vertices that are no numbers")
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise DataError("broken shape", seen=f"{kind}: a face names a vertex that is not there")
    used = vertices[faces.reshape(-1)] if len(faces) else vertices
    if not np.ptp(used, axis=0).any():
        raise DataError("a shape without a surface", seen=f"{kind}: all in one point")
    return vertices, faces


def _kind(data: bytes) -> str:
    """What the content says the file is."""
    if re.match(rb"ply\s", data):
        return "ply"
    if len(data) >= STL_HEADER and len(data) == STL_HEADER + STL_FACE * int.from_bytes(data[80:84], "little"):
        return "stl"
    if re.match(rb"\s*solid\b", data) and b"facet" in data[:4096]:
        return "stl"
    if re.search(rb"^v[ \t]", data, re.MULTILINE) and b"\0" not in data:
        return "obj"
    raise DataError("not a shape that is read", seen=looks_like(data), allowed=FORMATS)


def _counted(data: bytes, kind: str) -> tuple[int, int]:
    """How many vertices and faces a file claims or holds at least, before anything is parsed."""
    if kind == "ply":
        said = {name: int(count[:20]) for name, count in _ELEMENT.findall(data[:65_536])}
        lines = sum(data.count(mark) for mark in _BREAKS) if b"ascii" in data[:64] else 0
        return max(said.get(b"vertex", 0), lines - said.get(b"face", 0) - 1_000), said.get(b"face", 0)
    if kind == "obj":
        return data.count(b"\nv "), data.count(b"\nf ")
    if data[80:84] == ((len(data) - STL_HEADER) // STL_FACE).to_bytes(4, "little"):
        return 0, (len(data) - STL_HEADER) // STL_FACE
    if data.count(b"solid") > 2 * PARTS:
        raise DataError("too many parts", allowed=f"at most {PARTS:,}")
    return 0, data.count(b"facet normal")


def _check(counts: tuple[int, int], max_vertices: int, max_faces: int) -> None:
    for seen, most, word in zip(counts, (max_vertices, max_faces), ("vertices", "faces"), strict=True):
        if seen > most:
            raise DataError(f"too many {word}", seen=f"{seen:,}", allowed=f"at most {most:,}")


def _bare_obj(data: bytes) -> bytes:
    """Vertices and faces alone: no material, no group, no texture, no other file."""
    lines = data.replace(b"\\\r\n", b"").replace(b"\\\n", b"").splitlines()
    kept = [line for line in lines if line[:2] in (b"v ", b"v\t")]
    return b"\n".join([*kept, *(_SLASHED.sub(b"", line) for line in lines if line[:2] in (b"f ", b"f\t"))])


def _parsed(data: bytes, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles as trimesh reads them; without a resolver it opens nothing else."""
    try:
        import trimesh
    except ImportError:
        raise MissingExtra("shape", "reading shapes") from None
    logging.getLogger("trimesh").addHandler(_SILENT)  # else it prints tracebacks about files that are no good
    try:
        options: dict[str, Any] = {
            "process": False,
            "skip_materials": True,
            "maintain_order": True,
            "fix_texture": False,
        }
        scene = trimesh.load_scene(BytesIO(data), file_type=kind, resolver=None, **options)
        vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
        for part in scene.geometry.values():
            vertices.append(np.asarray(part.vertices, np.float64))
            faces.append(np.asarray(getattr(part, "faces", faces[0]), np.int64) + count)
            count += len(vertices[-1])
        return np.concatenate(vertices).astype(np.float32), np.concatenate(faces)
    except Exception as error:  # the loaders let out whatever their parsing meets
        raise DataError("broken shape", seen=f"{kind}: {str(error) or type(error).__name__}"[:200]) from None
