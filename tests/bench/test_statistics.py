import numpy as np
import pytest

from bench.statistics import Interval, Latency, bootstrap, speedup, verdict


def rounds(median: float, seed: int, count: int = 9) -> list[np.ndarray]:
    """Rounds of samples around a median, each round a little off, as on a busy machine."""
    rng = np.random.default_rng(seed)
    return [median * rng.normal(1, 0.01) * rng.lognormal(0, 0.05, 300) for _ in range(count)]


def test_percentiles_are_those_of_all_samples_together() -> None:
    samples = [np.arange(1.0, 51.0), np.arange(51.0, 101.0)]
    latency = Latency.of(samples)
    assert latency.p50_us.value == 50.5
    assert latency.p99_us == pytest.approx(99.01)
    assert latency.mean_us == 50.5
    assert latency.calls == 100


def test_a_slowdown_of_ten_percent_is_found() -> None:
    for seed in range(20):
        assert verdict(speedup(rounds(100, seed), rounds(110, seed + 1000))) == "slower"


def test_the_same_backend_twice_is_mostly_cannot_tell() -> None:
    verdicts = [verdict(speedup(rounds(100, seed), rounds(100, seed + 1000))) for seed in range(200)]
    assert verdicts.count("cannot tell") >= 170


def test_an_interval_that_holds_one_is_no_verdict() -> None:
    assert verdict(Interval(1.2, 0.99, 1.5)) == "cannot tell"
    assert verdict(Interval(1.2, 1.01, 1.5)) == "faster"
    assert verdict(Interval(0.8, 0.7, 0.99)) == "slower"


def test_the_same_samples_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=9)
    assert bootstrap(values) == bootstrap(values)
