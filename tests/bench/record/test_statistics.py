import numpy as np
import pytest

from bench.record.statistics import (
    Interval,
    Samples,
    change,
    describe_latency,
    mean_of_launches,
    percentile,
    speedup,
    verdict,
)


def launched(median: float, seed: int, launches: int = 5, rounds: int = 3) -> Samples:
    """Samples around a median, each launch and each round a little off, as on a busy machine."""
    rng = np.random.default_rng(seed)
    launch = rng.normal(1, 0.005, launches)
    return [
        [median * level * rng.normal(1, 0.01) * rng.lognormal(0, 0.05, 300) for _ in range(rounds)] for level in launch
    ]


def numbered(samples: Samples, pool: int) -> Samples:
    return [[np.arange(len(calls)) % float(pool) for calls in rounds] for rounds in samples]


def test_percentiles_are_those_of_all_samples_together() -> None:
    samples = [[np.arange(1.0, 31.0), np.arange(31.0, 51.0)], [np.arange(51.0, 76.0), np.arange(76.0, 101.0)]]
    latency = describe_latency(samples, numbered(samples, 4))
    assert latency.p50_us.value == 50.5
    assert latency.p99_us is not None
    assert latency.p99_us.value == pytest.approx(99.01)
    assert latency.mean_us.value == 50.5
    assert latency.calls == 100


def test_a_percentile_that_no_call_lies_beyond_is_not_told() -> None:
    samples = launched(100, 0, launches=2, rounds=1)
    samples = [[calls[:40] for calls in rounds] for rounds in samples]  # 80 calls
    latency = describe_latency(samples, numbered(samples, 4))
    assert latency.p95_us is not None
    assert latency.p99_us is None
    assert latency.p999_us is None


def test_noise_leaves_out_what_the_inputs_explain() -> None:
    samples = [[np.tile([100.0, 200.0, 400.0], 50)], [np.tile([101.0, 202.0, 404.0], 50)]]
    latency = describe_latency(samples, numbered(samples, 3))
    assert latency.iqr_us > 200
    assert latency.noise is not None
    assert latency.noise < 0.011


@pytest.mark.parametrize("launches", [2, *(pytest.param(one, marks=pytest.mark.slow) for one in (3, 5, 8))])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_intervals_hold_the_true_percentile_in_nine_of_ten_even_of_few_launches(launches: int, share: float) -> None:
    rng = np.random.default_rng(launches)

    def measured(count: int) -> list[np.ndarray]:
        return [100 * level * rng.lognormal(0, 0.05, 500) for level in rng.normal(1, 0.02, count)]

    truth = np.quantile(np.concatenate(measured(3000)), share)
    found = [percentile(measured(launches), share) for _ in range(200)]
    # Nominally 190 of 200; a bootstrap over so few launches is known to fall a little short.
    assert sum(one.low <= truth <= one.high for one in found) >= 176


def test_the_interval_of_a_mean_is_students() -> None:
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


def test_two_runs_of_the_same_agree_in_19_of_20_and_ten_percent_are_found() -> None:
    def medians(median: float, seed: int) -> np.ndarray:
        return np.array([np.median(np.concatenate(rounds)) for rounds in launched(median, seed)])

    same = [verdict(change(medians(100, seed), medians(100, seed + 1000))) for seed in range(400)]
    assert same.count("cannot tell") >= 363
    slower = [verdict(change(medians(110, seed), medians(100, seed + 1000))) for seed in range(50)]
    assert slower == ["slower"] * 50


def test_a_ratio_pairs_the_calls_that_both_made() -> None:
    # The inputs become slower; who makes fewer calls has seen only the quick ones.
    slow, fast = np.linspace(100, 200, 50), np.linspace(50, 250, 200)
    ratio = speedup([[slow], [slow]], [[fast], [fast]])
    assert ratio.value == pytest.approx(np.median(slow) / np.median(fast[:50]))


def test_one_launch_gives_no_interval() -> None:
    one = launched(100, 0, launches=1)
    with pytest.raises(ValueError, match="1 launch gives no interval"):
        describe_latency(one, numbered(one, 4))


def test_an_interval_that_holds_one_is_no_verdict() -> None:
    assert verdict(Interval(value=1.2, low=0.99, high=1.5)) == "cannot tell"
    assert verdict(Interval(value=1.2, low=1.01, high=1.5)) == "faster"
    assert verdict(Interval(value=0.8, low=0.7, high=0.99)) == "slower"
