"""How often each may ask: as a bucket of tokens, and of all processes together."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.service.problems import RequestError, response
from tuwen.service.rate import Rate


def test_several_processes_count_together_and_one_that_dies_holds_nobody_up() -> None:
    rate, reading, writing_end = Rate(0.001, 40), *os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            try:
                for n in range(30):
                    try:
                        rate.take("till")
                        os.write(writing_end, b"+")
                    except RequestError:
                        os.write(writing_end, b"-")
                    rate.take(f"another {n}")  # nobody's places are taken by others'
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    os.close(writing_end)
    said = os.read(reading, 1000)
    os.close(reading)
    assert (said.count(b"+"), said.count(b"-")) == (40, 80)
    child = os.fork()
    if not child:
        with rate._alone():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    rate.take("another")


@given(st.integers(1, 5), st.lists(st.floats(0, 3), min_size=1, max_size=40))
def test_it_lets_through_what_a_bucket_of_tokens_would(burst: int, pauses: list[float]) -> None:
    rate, now, tokens = Rate(1.0, burst), 1000.0, float(burst)
    with pytest.MonkeyPatch.context() as patch:
        for pause in pauses:
            now, tokens = now + pause, min(burst, tokens + pause)
            patch.setattr("time.monotonic", lambda now=now: now)
            if abs(tokens - 1) < 1e-6:
                return  # either is right
            try:
                rate.take("a")
                assert tokens > 1
                tokens -= 1
            except RequestError:
                assert tokens < 1


@pytest.mark.parametrize(("rate", "seconds"), [(50.0, 1), (0.01, 100)])
def test_the_words_name_the_seconds_of_the_header(rate: float, seconds: int) -> None:
    bucket = Rate(rate, 1)
    bucket.take("a")
    with pytest.raises(RequestError) as refused:
        bucket.take("a")
    assert response(refused.value).headers["retry-after"] == str(seconds)
    assert refused.value.todo == f"wait {seconds} second{'s' * (seconds > 1)}"
