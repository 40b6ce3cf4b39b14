import numpy as np
import pytest

from bench.statistics import Interval, Latency, Samples, mean_of_launches, speedup, verdict


def launched(median: float, seed: int, launches: int = 5, rounds: int = 3) -> Samples:
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


def test_the_interval_is_students() -> None:
    found = mean_of_launches(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert found.value == 3.0
    assert found.high == pytest.approx(3.0 + 2.776 * np.sqrt(2.5 / 5))
    assert found.low == pytest.approx(3.0 - 2.776 * np.sqrt(2.5 / 5))


def test_a_slowdown_of_ten_percent_is_found() -> None:
    verdicts = [verdict(speedup(launched(100, seed), launched(110, seed + 1000))) for seed in range(50)]
    assert verdicts == ["slower"] * 50


def test_the_same_backend_twice_is_cannot_tell_in_19_of_20() -> None:
    verdicts = [verdict(speedup(launched(100, seed), launched(100, seed + 1000))) for seed in range(400)]
    # 95 % of 400 is 380; four standard errors of that count are 17.
    assert verdicts.count("cannot tell") >= 363


def test_one_launch_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="1 launch gives no interval"):
        Latency.of(launched(100, 0, launches=1))


def test_an_interval_that_holds_one_is_no_verdict() -> None:
    assert verdict(Interval(1.2, 0.99, 1.5)) == "cannot tell"
    assert verdict(Interval(1.2, 1.01, 1.5)) == "faster"
    assert verdict(Interval(0.8, 0.7, 0.99)) == "slower"
