"""Sounds and shapes as files, made here: tones, and solids whose surface is known."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile


def tone(hertz: float, seconds: float = 0.5, rate: int = 16_000, loud: float = 0.5, noise: float = 0.0, seed: int = 0):
    """f32 [samples]."""
    time = np.arange(round(seconds * rate)) / rate
    hiss = np.random.default_rng(seed).normal(0, 1, len(time)) * noise
    return (loud * np.sin(2 * np.pi * hertz * time) + hiss).astype(np.float32)


def sound(samples: np.ndarray, rate: int = 16_000, form: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def wav(frames: int, claimed: int | None = None, channels: int = 1, rate: int = 8_000) -> bytes:
    """A silent 16-bit WAV written by hand, whose header may claim another number of bytes."""
    data = bytes(2 * channels * frames)
    size = len(data) if claimed is None else claimed
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    inner = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + inner


CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE = (CORNERS, np.array([half for a, b, c, d in SIDES for half in ((a, b, c), (a, c, d))]))


def ball(rings: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A sphere of radius 1 as rings of triangles."""
    heights, turns = np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    points = [[np.sin(h) * np.cos(t), np.sin(h) * np.sin(t), np.cos(h)] for h in heights for t in turns]
    faces = []
    for ring in range(rings):
        for i in range(2 * rings):
            a, b = ring * 2 * rings + i, ring * 2 * rings + (i + 1) % (2 * rings)
            faces += [(a, a + 2 * rings, b), (b, a + 2 * rings, b + 2 * rings)]
    return np.array(points), np.array(faces)


def obj(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices]
    return "\n".join([*lines, *("f " + " ".join(str(i + 1) for i in face) for face in faces), ""]).encode()


def stl(vertices: np.ndarray, faces: np.ndarray, *, text: bool = False) -> bytes:
    corners = vertices[faces].astype(np.float32)
    if text:
        facets = "".join(
            "facet normal 0 0 0\nouter loop\n"
            + "".join(f"vertex {x} {y} {z}\n" for x, y, z in corner)
            + "endloop\nendfacet\n"
            for corner in corners.tolist()
        )
        return f"solid thing\n{facets}endsolid thing\n".encode()
    rows = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])
    rows["corners"] = corners
    return bytes(80) + struct.pack("<I", len(faces)) + rows.tobytes()


def ply(vertices: np.ndarray, faces: np.ndarray, *, said: int | None = None) -> bytes:
    """A text PLY, whose header may claim another number of vertices."""
    lines = ["ply", "format ascii 1.0", f"element vertex {len(vertices) if said is None else said}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    lines += [f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices]
    return "\n".join([*lines, *(f"{len(face)} " + " ".join(map(str, face)) for face in faces), ""]).encode()
