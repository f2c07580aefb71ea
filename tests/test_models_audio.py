"""Encoders of sounds and shapes: what must not matter does not."""

import numpy as np
import pytest
import torch
from torch import nn

from tuwen.errors import ConfigError
from tuwen.models import ENCODERS
from tuwen.models.audio import MaskedGroupNorm
from tuwen.preprocess.spec import ArraySpec


def spectrogram(frames: int, bands: int = 20, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (2, frames, bands)).astype(np.float32))


@pytest.mark.parametrize("heard", [8, 11, 16, 29])
def test_how_much_padding_follows_a_sound_does_not_matter(heard):
    torch.manual_seed(0)
    short = ENCODERS.build("audio-cnn", {}, ArraySpec("spectrogram", (heard, 20))).eval()
    long = ENCODERS.build("audio-cnn", {}, ArraySpec("spectrogram", (heard + 27, 20))).eval()
    long.load_state_dict(short.state_dict())
    sound = spectrogram(heard)
    padded = torch.cat([sound, torch.full((2, 27, 20), 9.0)], dim=1)  # not even what stands there
    mask = (torch.arange(heard + 27) < heard).expand(2, -1)
    alone = short(sound, torch.ones(2, heard, dtype=torch.bool))
    torch.testing.assert_close(long(padded, mask), alone, rtol=1e-4, atol=1e-5)


def test_group_norm_without_padding_is_torchs():
    ours, theirs = MaskedGroupNorm(4, 8), nn.GroupNorm(4, 8)
    maps = torch.randn(3, 8, 10, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(maps, torch.ones(3, 1, 10, 1)), theirs(maps), rtol=1e-4, atol=1e-5)


def test_any_number_of_channels_has_its_groups():
    encoder = ENCODERS.build("audio-cnn", {"channels": [3, 12]}, ArraySpec("spectrogram", (16, 20)))
    assert encoder(spectrogram(16), torch.ones(2, 16, dtype=torch.bool)).shape == (2, 64)


def test_a_high_tone_is_not_a_low_one():
    encoder = ENCODERS.build("audio-cnn", {}, ArraySpec("spectrogram", (30, 40))).eval()
    low, high = torch.full((2, 1, 30, 40), -1.0).unbind()
    low[:, :, 8], high[:, :, 24] = 0.5, 0.5
    mask = torch.ones(1, 30, dtype=torch.bool)
    assert (encoder(low, mask) - encoder(high, mask)).abs().max() > 1e-3


def test_a_sound_too_short_for_its_convolutions_is_an_error():
    with pytest.raises(ConfigError, match="too short"):
        ENCODERS.build("audio-cnn", {"channels": [8] * 6}, ArraySpec("spectrogram", (40, 64)))


def test_the_order_of_points_does_not_matter():
    torch.manual_seed(0)
    encoder = ENCODERS.build("pointnet", {}, ArraySpec("points", (200, 3))).eval()
    points = torch.randn(4, 200, 3)
    shuffled = points[:, torch.randperm(200)]
    torch.testing.assert_close(encoder(shuffled), encoder(points), rtol=0, atol=1e-6)
    repeated = torch.cat([points, points[:, :50]], dim=1)
    torch.testing.assert_close(encoder(repeated), encoder(points), rtol=0, atol=1e-6)


def test_how_far_out_a_point_is_matters():
    encoder = ENCODERS.build("pointnet", {}, ArraySpec("points", (20, 3))).eval()
    points = torch.nn.functional.normalize(torch.randn(1, 20, 3), dim=2)
    assert (encoder(points) - encoder(points * 0.5)).abs().max() > 1e-3
