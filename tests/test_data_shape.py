"""The one door for 3D shapes: what comes out, and what is refused with which reason."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import CORNERS, CUBE, SIDES, ball, obj, ply, stl
from tuwen.data.shape import normalise, read
from tuwen.errors import DataError, MissingExtra

LIMITS = {"max_bytes": 2_000_000, "max_vertices": 20_000, "max_faces": 20_000}
WRITERS = {
    "obj": obj,
    "stl": stl,
    "text stl": lambda v, f: stl(v, f, text=True),
    "ply": ply,
    "binary ply": lambda v, f: normalise(ply(v, f), **LIMITS),
}


def reason(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        normalise(data, **LIMITS)
    return caught.value.what


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return abs(float((np.cross(a, b) * c).sum())) / 6


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_keeps_the_surface(form):
    for vertices, faces in (CUBE, ball()):
        found, triangles = read(normalise(WRITERS[form](vertices, faces), **LIMITS), **LIMITS)
        assert found.dtype == np.float32
        assert len(triangles) == len(faces)
        np.testing.assert_allclose(found[triangles], vertices[faces], atol=1e-6)
        np.testing.assert_allclose(volume(found, triangles), volume(vertices, faces), rtol=1e-5)


@pytest.mark.parametrize("form", WRITERS)
def test_normalising_twice_changes_nothing(form):
    once = normalise(WRITERS[form](*ball(5)), **LIMITS)
    assert normalise(once, **LIMITS) == once


@pytest.mark.parametrize("write", [obj, ply])
def test_faces_of_four_corners_become_triangles(write):
    vertices, faces = read(write(CORNERS, np.array(SIDES)), **LIMITS)
    assert len(faces) == 12
    assert volume(vertices, faces) == pytest.approx(8)


def test_a_file_of_points_alone_stays_a_cloud():
    for data in (obj(CORNERS, np.zeros((0, 3), int)), ply(CORNERS, np.zeros((0, 3), int))):
        out = normalise(data, **LIMITS)
        vertices, faces = read(out, **LIMITS)
        np.testing.assert_array_equal(vertices, CORNERS)
        assert len(faces) == 0
        assert normalise(out, **LIMITS) == out


def test_nothing_but_the_surface_gets_in_and_no_other_file_is_opened(tmp_path, monkeypatch):
    (tmp_path / "evil.mtl").write_text("newmtl a\nmap_Kd photo.png\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.open", lambda name, *_, **__: pytest.fail(f"opened {name}"))
    plain = obj(*CUBE)
    dressed = b"mtllib evil.mtl\no thing\nusemtl a\nvt 0 0\nvn 0 0 1\n# secret\n" + plain.replace(b"f 1 ", b"f 1/1/1 ")
    assert normalise(dressed.replace(b"\n", b"\r\n"), **LIMITS) == normalise(plain, **LIMITS)
    textured = ply(*CUBE).replace(b"element vertex", b"comment TextureFile evil.mtl\nelement vertex", 1)
    assert normalise(textured, **LIMITS) == normalise(ply(*CUBE), **LIMITS)


POINT = np.zeros((3, 3))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty file"),
        (b"<html><body>log in</body></html>", "a web page, not a shape"),
        (b"glTF" + bytes(100), "not a shape that is read"),
        (b"# an empty OBJ\n", "not a shape that is read"),
        (stl(CORNERS, np.zeros((0, 3), int)), "a shape without a surface"),
        (ply(np.zeros((0, 3)), np.zeros((0, 3), int)), "a shape without a surface"),
        (obj(POINT, np.array([[0, 1, 2]])), "a shape without a surface"),
        (obj(CORNERS, np.array([[0, 1, 99]])), "broken shape"),
        (ply(CORNERS, np.array([[0, 1, 99]])), "broken shape"),
        (obj(np.array([[0, 0, np.nan], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])), "broken shape"),
        (ply(*CUBE)[:-60], "truncated shape"),
        (normalise(ply(*CUBE), **LIMITS)[:-20], "broken shape"),
        (stl(*CUBE)[:-20], "not a shape that is read"),
        (stl(*CUBE, text=True)[:-40], "a shape without a surface"),
        (ply(*CUBE, said=10**9), "too many vertices"),
        (ply(*CUBE, said=10**30), "too many vertices"),
        (ply(*CUBE, said=-3), "broken shape"),
        (ply(*CUBE) + b"\n" * 1_000_000, "too many vertices"),
        (b"v 0 0 0\n" * 30_000, "too many vertices"),
        (obj(*CUBE) + b"f 1 2 3\n" * 30_000, "too many faces"),
        (stl(*(CUBE[0], np.tile(CUBE[1], (2_000, 1)))), "too many faces"),
        (b"solid a\nfacet\n" + b"endsolid a\nsolid a\n" * 2_000, "too many parts"),
        (obj(*CUBE) + b"#" * 2_000_000, "too many bytes"),
    ],
)
def test_what_is_no_good_is_refused_with_its_reason(data, what):
    begun = time.monotonic()
    assert reason(data) == what
    assert time.monotonic() - begun < 2


@settings(max_examples=150)
@given(
    form=st.sampled_from(sorted(WRITERS)),
    cut=st.integers(0, 500),
    hits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6),
)
def test_damage_is_refused_or_read_but_never_anything_else(form, cut, hits):
    data = bytearray(WRITERS[form](*CUBE))
    for at, value in hits:
        data[at % len(data)] = value
    try:
        out = normalise(bytes(data[: max(0, len(data) - cut)]), **LIMITS)
    except DataError as error:
        assert len(error.what) < 60
    else:
        assert out[:4] == b"ply\n"
        assert normalise(out, **LIMITS) == out


def test_the_parser_keeps_silent_about_a_bad_file(tmp_path):
    bad = stl(*CUBE, text=True).replace(b"normal 0 0 0", b"normal x x x", 3)
    (tmp_path / "bad.stl").write_bytes(bad)
    program = f"from tuwen.data.shape import read; read(open({str(tmp_path / 'bad.stl')!r}, 'rb').read(), **{LIMITS})"
    done = subprocess.run(
        [sys.executable, "-c", f"try:\n  {program}\nexcept Exception: pass"], capture_output=True, text=True
    )
    assert done.stderr == ""


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingExtra, match="'shape'"):
        normalise(obj(*CUBE), **LIMITS)
