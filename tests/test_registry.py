"""Components are checked against their own signature."""

from typing import Literal

import pytest

from tuwen.errors import ConfigError
from tuwen.registry import Registry


class Lamp:
    def __init__(self, room: str, *, watts: int = 5, colour: Literal["warm", "cold"] = "warm") -> None:
        self.room, self.watts, self.colour = room, watts, colour


LAMPS = Registry("lamp", {"desk": (f"{__name__}:Lamp", "a lamp")})


def test_positional_parameters_are_given_and_keywords_are_options():
    lamp = LAMPS.build("desk", {"watts": 9}, "kitchen")
    assert (lamp.room, lamp.watts, lamp.colour) == ("kitchen", 9, "warm")


def test_defaults_live_in_the_signature_only():
    assert LAMPS.options("desk", {}) == {"watts": 5, "colour": "warm"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dsk", {}, "did you mean 'desk'"),
        ("desk", {"wats": 3}, "did you mean 'watts'"),
        ("desk", {"watts": "many"}, "must be a whole number"),
        ("desk", {"colour": "blue"}, "'warm' or 'cold'"),
        ("desk", {"colour": "wram"}, "did you mean 'warm'"),
        ("desk", {"room": "x"}, "no option 'room'"),
    ],
)
def test_a_wrong_name_or_option_is_explained(name, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        LAMPS.build(name, options, "kitchen", where="run.yaml:3")
    assert caught.value.where == "run.yaml:3"
