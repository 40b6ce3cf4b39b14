import numpy as np
import pytest

from bench.statistics import Interval, Latency, Samples, bootstrap, speedup, verdict


def launched(median: float, seed: int, launches: int = 3, rounds: int = 5) -> Samples:
    """Samples around a median, each launch and each round a little off, as on a busy machine."""
    rng = np.random.default_rng(seed)
    launch = rng.normal(1, 0.005, launches)
    return [
        [median * level * rng.normal(1, 0.01) * rng.lognormal(0, 0.05, 300) for _ in range(rounds)] for level in launch
    ]


def test_percentiles_are_those_of_all_samples_together() -> None:
    latency = Latency.of(
        [[np.arange(1.0, 31.0), np.arange(31.0, 51.0)], [np.arange(51.0, 76.0), np.arange(76.0, 101.0)]]
    )
    assert latency.p50_us.value == 50.5
    assert latency.p99_us == pytest.approx(99.01)
    assert latency.mean_us == 50.5
    assert latency.calls == 100


def test_a_slowdown_of_ten_percent_is_found() -> None:
    for seed in range(20):
        assert verdict(speedup(launched(100, seed), launched(110, seed + 1000))) == "slower"


def test_the_same_backend_twice_is_mostly_cannot_tell() -> None:
    verdicts = [verdict(speedup(launched(100, seed), launched(100, seed + 1000))) for seed in range(200)]
    assert verdicts.count("cannot tell") >= 150


def test_what_differs_between_launches_widens_the_interval() -> None:
    steady = np.full((3, 5), 100.0) + np.arange(5)
    moved = steady * np.array([[1.0], [1.0], [2.0]])
    assert bootstrap(steady).high <= 104
    assert bootstrap(moved).high >= 200
    assert bootstrap(moved).low <= 104


def test_an_interval_that_holds_one_is_no_verdict() -> None:
    assert verdict(Interval(1.2, 0.99, 1.5)) == "cannot tell"
    assert verdict(Interval(1.2, 1.01, 1.5)) == "faster"
    assert verdict(Interval(0.8, 0.7, 0.99)) == "slower"


def test_the_same_samples_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=(3, 3))
    assert bootstrap(values) == bootstrap(values)
