"""The leaky bucket that every caller of a portal keeps to."""

from __future__ import annotations

from encaja.rest.bucket import LeakyBucket


def test_requests_beyond_the_burst_wait_for_their_places():
    bucket = LeakyBucket(rate=2.0, burst=3)
    assert [bucket.reserve(10.0) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
    assert bucket.reserve(11.0) == 0.5, "two places have come free"
    assert bucket.reserve(100.0) == 0


def test_place_that_is_given_back_is_the_next_ones():
    bucket = LeakyBucket(rate=1.0, burst=1)
    assert (bucket.reserve(0.0), bucket.reserve(0.0)) == (0, 1)
    bucket.give_back()
    assert bucket.reserve(0.0) == 1


def test_refusal_means_that_it_is_full_whoever_filled_it():
    bucket = LeakyBucket(rate=2.0, burst=50)
    bucket.fill(0.0)
    assert bucket.reserve(0.0) == 0.5


def test_clock_that_goes_back_lets_nothing_leak():
    bucket = LeakyBucket(rate=2.0, burst=1)
    bucket.reserve(100.0)
    assert bucket.reserve(50.0) == 0.5
