"""Shapes as points: on the surface, evenly, the same every time."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import CORNERS, CUBE, ball, obj, ply, stl
from tuwen.errors import ConfigError, MissingExtra
from tuwen.preprocess.shape import Shape, centred, surface_points


def points_of(data: bytes, **options) -> np.ndarray:
    arrays, present = Shape(**options).encode([data])
    assert present[0]
    return arrays["points"][0]


def test_points_of_a_cube_lie_on_its_sides_evenly():
    points = surface_points(*CUBE, 6_000)
    on_side = np.isclose(np.abs(points), 1, atol=1e-6)
    assert on_side.any(axis=1).all()
    for axis in range(3):
        for end in (-1, 1):
            side = np.isclose(points[:, axis], end, atol=1e-6)
            assert abs(side.sum() - 1_000) <= 5
            rest = np.delete(points[side], axis, axis=1)
            quarters = np.histogram2d(rest[:, 0], rest[:, 1], bins=4, range=[(-1, 1)] * 2)[0]
            assert quarters.min() > 50  # 62.5 each, were it perfect


def test_points_follow_area_not_faces():
    vertices, faces = CUBE
    fine = np.concatenate([faces, np.tile(faces[:1] * 0, (500, 1))])  # 500 more faces of no area
    np.testing.assert_allclose(surface_points(vertices, fine, 300), surface_points(vertices, faces, 300), atol=1e-6)


def test_the_same_surface_in_another_format_has_the_same_points():
    files = [obj(*ball()), ply(*ball()), stl(*ball()), stl(*ball(), text=True)]
    first, *others = (points_of(data) for data in files)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-4)
    np.testing.assert_array_equal(points_of(files[0]), first)


@settings(max_examples=20)
@given(scale=st.floats(0.01, 1_000), by=st.tuples(*[st.floats(-50, 50)] * 3))
def test_where_it_stands_and_how_large_it_is_does_not_matter(scale, by):
    vertices, faces = ball(6)
    moved = centred(surface_points(vertices * scale + np.array(by) * scale, faces, 200))
    np.testing.assert_allclose(moved, centred(surface_points(vertices, faces, 200)), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1).max(), 1, atol=1e-5)
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-5)


def test_a_cloud_of_points_gives_points_of_itself():
    found = points_of(ply(CORNERS, np.zeros((0, 3), int)), points=16)
    assert {tuple(np.sign(p).tolist()) for p in found} == {tuple(c) for c in CORNERS.tolist()}


def test_a_shape_of_no_area_has_points_too():
    needle = obj(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    assert np.ptp(points_of(needle, points=8)[:, 0]) > 0.5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html></html>",
        b"v 0 0 0\n",
        obj(np.full((3, 3), np.nan), np.array([[0, 1, 2]])),
        obj(CORNERS, np.array([[0, 1, 99]])),
        stl(CORNERS, np.zeros((0, 3), int)),
        stl(*CUBE)[:-20],
        ply(*CUBE)[:-60],
        ply(*CUBE, said=10**9),
    ],
)
def test_broken_bytes_are_absent(data):
    arrays, present = Shape(points=32).encode([obj(*CUBE), data, None])
    assert present.tolist() == [True, False, False]
    assert not arrays["points"][1:].any()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    options=st.sampled_from([{"turn": 180.0}, {"jitter": 0.02}, {"turn": 30.0, "jitter": 0.1, "vertical": "y"}]),
)
def test_augmentation_laws(seed, options):
    shape = Shape(points=64, **options)
    arrays, _ = shape.encode([obj(*CUBE), None, stl(*ball(5))])
    before = arrays["points"].copy()
    out = shape.augment(arrays, np.random.default_rng(seed))["points"]
    np.testing.assert_array_equal(arrays["points"], before)
    np.testing.assert_array_equal(out, shape.augment(arrays, np.random.default_rng(seed))["points"])
    assert out.dtype == np.float32
    assert out.shape == before.shape
    assert not out[1].any(), "an absent shape stays all zero"
    if "jitter" not in options:  # a rotation keeps the height and every distance
        np.testing.assert_array_equal(out[..., 2], before[..., 2])
        np.testing.assert_allclose(np.linalg.norm(out, axis=2), np.linalg.norm(before, axis=2), atol=1e-6)
    if "turn" not in options:
        assert 0.01 < (out - before)[0].std() < 0.03


def test_nothing_random_unless_asked_for():
    arrays, _ = Shape(points=16).encode([obj(*CUBE)])
    assert Shape(points=16).augment(arrays, np.random.default_rng(0)) is arrays


@pytest.mark.parametrize("options", [{"points": 2}, {"vertical": "up"}, {"turn": 200}, {"jitter": -0.1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        Shape(**options)


def test_without_the_extra_it_is_an_error_and_not_an_absent_shape(monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingExtra, match="'shape'"):
        Shape().encode([obj(*CUBE)])
