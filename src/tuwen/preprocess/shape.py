"""3D shapes → a fixed number of points on their surface, centred, of one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from tuwen.data.shape import read
from tuwen.errors import ConfigError, DataError
from tuwen.preprocess.modality import Arrays, read_state, write_state
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress
from tuwen.registry import Count

Axis = Literal["x", "y", "z"]
LIMITS = {"max_bytes": 200_000_000, "max_vertices": 5_000_000, "max_faces": 5_000_000}  # the media store allows less
GOLDEN = np.array([0.7548776662466927, 0.5698402909980532])  # 1/p and 1/p² for p³ = p + 1


def surface_points(vertices: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """f32 [count, 3]: evenly spread over the triangles by area, or over the vertices where there is no triangle.

    No luck is involved: place i is at the share (i + ½) / count of the whole area, and its position within its triangle
    follows a sequence that fills the square evenly (Roberts, 2018). So a file has the same points on every machine.
    """
    vertices = vertices.astype(np.float64)
    places = (np.arange(count) + 0.5) / count
    if not len(faces):
        return vertices[(places * len(vertices)).astype(int)].astype(np.float32)
    corners = vertices[faces]  # [faces, 3, 3]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(a, b), axis=1)
    if not area.sum() > 0:  # needles: as if they all had the same area
        area = np.ones(len(faces))
    ends = np.cumsum(area)
    chosen = np.minimum(np.searchsorted(ends, places * ends[-1], side="right"), len(faces) - 1)
    uv = (0.5 + np.arange(1, count + 1)[:, None] * GOLDEN) % 1.0
    outside = uv.sum(axis=1) > 1  # in the other half of the square: mirrored into this one
    uv[outside] = 1 - uv[outside]
    return (corners[chosen, 0] + uv[:, :1] * a[chosen] + uv[:, 1:] * b[chosen]).astype(np.float32)


def centred(points: np.ndarray) -> np.ndarray:
    """f32 [n, 3] about their mean, the farthest at distance 1: where a shape stands and how it is measured is luck."""
    moved = points.astype(np.float64) - points.astype(np.float64).mean(axis=0)
    farthest = np.linalg.norm(moved, axis=1).max()
    return (moved / farthest if farthest > 0 else moved).astype(np.float32)


class Shape:
    """OBJ, STL or PLY bytes → ``points``.

    Args:
        points: how many of the surface.
        turn: while training, rotate about the vertical axis by up to this many degrees.
        vertical: which axis that is; CAD and printing files mostly say z, game files y.
        jitter: while training, move every point by a normal deviate of this size (of a shape of radius 1).
    """

    def __init__(self, *, points: Count = 1024, turn: float = 0.0, vertical: Axis = "z", jitter: float = 0.0) -> None:
        if not 8 <= points <= 65_536:
            raise ConfigError("'points' is out of range", seen=points, allowed="8 to 65,536")
        if vertical not in ("x", "y", "z"):
            raise ConfigError("'vertical' is an axis", seen=vertical, allowed="x, y, z")
        if not (0 <= turn <= 180 and 0 <= jitter <= 1):
            raise ConfigError(
                "a random change is out of range", seen=(turn, jitter), allowed="turn to 180, jitter to 1"
            )
        self.points, self.turn, self.vertical, self.jitter = points, turn, vertical, jitter

    @property
    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("points", "turn", "vertical", "jitter")}

    @property
    def spec(self) -> ArraySpec:
        return ArraySpec("points", (self.points, 3))

    def fit(self, values: Sequence[bytes | None], progress: Progress | None = None) -> None:
        """Nothing is learned from shapes."""

    def encode(self, values: Sequence[bytes | None]) -> tuple[Arrays, np.ndarray]:
        """``points`` f32 [rows, points, 3].

        Raises:
            MissingExtra: the extra 'shape' is not installed.
        """
        points = np.zeros((len(values), *self.spec.shape), np.float32)
        present = np.zeros(len(values), bool)
        for row, data in enumerate(values):
            if data is None:
                continue
            try:
                vertices, faces = read(data, **LIMITS)
            except DataError:
                continue
            points[row] = centred(surface_points(vertices, faces, self.points))
            present[row] = True
        return {"points": points}, present

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Turned and jittered, each shape by its own draw; an absent one stays all zero."""
        if not (self.turn or self.jitter):
            return arrays
        points = arrays["points"]
        # always the same draws in the same order: one option does not change the luck of another
        angles = np.deg2rad(rng.uniform(-1, 1, len(points)) * self.turn)
        noise = rng.standard_normal(points.shape, np.float32) * np.float32(self.jitter)
        across, along = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[self.vertical]
        cos, sin = (f(angles).astype(np.float32)[:, None] for f in (np.cos, np.sin))
        turned = points.copy()
        turned[..., across] = cos * points[..., across] - sin * points[..., along]
        turned[..., along] = sin * points[..., across] + cos * points[..., along]
        absent = ~points.any(axis=(1, 2), keepdims=True)
        return arrays | {"points": np.where(absent, points, turned + noise)}

    def save(self, folder: Path) -> None:
        write_state(folder, self, self.options, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**read_state(folder)["options"])
