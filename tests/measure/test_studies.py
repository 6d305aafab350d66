"""Statistics of studies: pooled quantiles, corrections for many comparisons, and how many drives are enough."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.measure.multiple import holm, joint_confidence
from sim.measure.pooled import RESAMPLES, pooled_quantile
from sim.measure.stats import Interval, mean_interval, paired_difference, rank_quantile, resample_indices
from sim.measure.support import Precision, drives_to_decide, few_drives, least_drives, next_drives, run_warnings


def drives(n, each, seed=0, never=0.0):
    draw = np.random.default_rng(seed)
    return [np.where(draw.random(each) < never, np.inf, draw.exponential(1.0 + k % 3, each)) for k in range(n)]


@pytest.mark.parametrize("percent", [50, 95, 99])
@pytest.mark.parametrize("never", [0.0, 0.03])
def test_pooled_quantiles_are_those_of_resampled_drives_put_together(percent, never):
    """Against the definition, carried out resample by resample."""
    values = drives(7, 40, never=never)
    found = pooled_quantile(values, percent, seed=5)
    assert found.mean == rank_quantile(np.sort(np.concatenate(values)), percent)
    slow = []
    for chosen in resample_indices(5, 7, RESAMPLES).T:
        slow.append(rank_quantile(np.sort(np.concatenate([values[k] for k in chosen])), percent))
    slow.sort()
    assert found.low == slow[math.ceil(RESAMPLES * (1 - 0.95) / 2) - 1]
    assert found.high == slow[math.ceil(RESAMPLES * (1 + 0.95) / 2) - 1]


def test_drives_of_different_sizes_weigh_by_their_messages():
    values = [np.full(90, 1.0), np.full(10, 2.0)]
    assert pooled_quantile(values, 50, 1).mean == 1.0
    assert pooled_quantile(values, 95, 1).mean == 2.0


def test_pooled_quantiles_without_variety_say_so():
    assert pooled_quantile([], 50, 1) == Interval(None, None, None, 0, "no data")
    assert pooled_quantile([np.array([1.0, 2.0])], 50, 1).note == "one drive"
    same = pooled_quantile([np.array([1.0, 2.0]), np.array([2.0, 1.0])], 50, 1)
    assert (same.mean, same.low, same.note) == (1.0, None, "nothing varied")


def test_holm_is_that_of_the_textbook():
    """Holm 1979; the example of Wright, Biometrics 48 (1992): steps 3, 2, 1, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, None, 0.6]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_holm_agrees_with_scipys_order_of_rejection():
    draw = np.random.default_rng(3)
    p = draw.random(12) ** 3
    adjusted = holm(p.tolist())
    order = np.argsort(p)
    expected = np.minimum(np.maximum.accumulate(p[order] * (12 - np.arange(12))), 1.0)
    assert np.array(adjusted)[order] == pytest.approx(expected)


def test_joint_intervals_are_wider():
    values = drives(1, 30)[0].tolist()
    one, of_ten = mean_interval(values, 1), mean_interval(values, 1, joint_confidence(10))
    assert of_ten.low < one.low < one.high < of_ten.high
    assert joint_confidence(1) == pytest.approx(0.95)


def test_p_values_agree_with_the_interval_and_are_never_below_the_sign_test():
    draw = np.random.default_rng(1)
    for shift in (0.0, 0.2, 0.5, 1.0, 3.0):
        differences = (draw.normal(shift, 1.0, 25)).tolist()
        found = paired_difference(differences, [0.0] * 25, "lower", seed=2)
        assert (found.p_value < 0.05) == (found.verdict != "no evidence") or abs(found.p_value - 0.05) < 0.005
    four = paired_difference([1.0, 1.1, 0.9, 1.2], [0.0] * 4, "lower", seed=1)
    assert four.interval.low > 0.0  # its interval excludes 0 ...
    assert (four.verdict, four.p_value) == ("no evidence", 2.0**-3)  # ... but four equal signs happen by chance with 1/8


def test_the_same_seed_rarely_finds_what_is_not_there():
    """Of true nothings about one in twenty seems to be something at 95 %; after Holm hardly a family has one."""
    draw = np.random.default_rng(7)
    families = [
        [paired_difference(draw.normal(0, 1, 30).tolist(), [0.0] * 30, "lower", 1).p_value for _ in range(10)] for _ in range(40)
    ]
    singly = np.mean([p < 0.05 for family in families for p in family])
    jointly = np.mean([min(p for p in holm(family)) < 0.05 for family in families])
    assert 0.02 < singly < 0.11
    assert jointly < 0.2 < np.mean([min(family) < 0.05 for family in families])


def test_so_many_drives_carry_a_verdict():
    assert least_drives() == 6  # 2^-5 = 3 %
    assert least_drives(20) == 10
    assert "cannot carry a verdict" in few_drives(5)
    assert "too narrow" in few_drives(8)
    assert few_drives(10) is None
    assert "over 100 comparisons" in few_drives(11, 100)


def test_drives_to_decide_grow_with_the_square():
    assert drives_to_decide(Interval(1.0, -1.0, 3.0, 10)) == 40
    assert drives_to_decide(Interval(0.0, -1.0, 1.0, 10)) is None


def test_the_next_number_of_drives_aims_at_the_width_and_keeps_to_its_bounds():
    five = Precision("all.lost", share=0.05, most=100)
    assert next_drives([Interval(10.0, 9.6, 10.4, 20)], five, 20) == 20  # narrow enough
    assert next_drives([Interval(10.0, 9.4, 10.6, 20)], five, 20) == 29  # 20 * 1.2^2
    assert next_drives([Interval(10.0, 9.49, 10.51, 20)], five, 20) == 25  # a quarter more at least
    assert next_drives([Interval(10.0, 5.0, 15.0, 20)], five, 20) == 40  # double at most
    assert next_drives([Interval(10.0, 5.0, 15.0, 80)], five, 80) == 100  # and no more than allowed
    assert next_drives([Interval(10.0, 5.0, 15.0, 100)], five, 100) == 100
    assert next_drives([Interval(3.0, None, None, 20, "nothing varied")], five, 20) == 20
    assert next_drives([Interval(3.0, None, None, 1, "one drive")], five, 1) == 2
    assert next_drives([Interval(None, None, None, 0, "no data")], five, 20) == 20
    assert next_drives([Interval(math.inf, None, None, 20, "beyond")], five, 20) == 40


def test_an_absolute_precision_is_in_the_metrics_unit():
    assert Precision("recovery_s.mean", absolute=0.5).in_words() == "recovery_s.mean to 0.5 s"
    assert Precision("recovery_s.mean", absolute=0.5).reached(Interval(3.0, 2.6, 3.4, 9))
    assert not Precision("recovery_s.mean", absolute=0.3).reached(Interval(3.0, 2.6, 3.4, 9))


def test_a_run_warns_where_its_evidence_does_not_carry_a_verdict():
    comparison = {"p": 0.04, "verdict": "worse", "holds": False}
    objective = {"verdict": "undecided", "strategy": "hybrid", "metric": "all.lost", "bound": "at_most 2"}
    lines = run_warnings(4, [objective], [comparison])
    assert [line.split()[0] for line in lines] == ["4", "hybrid:", "1"]
    assert run_warnings(30, [{**objective, "verdict": "met"}], [{**comparison, "holds": True}]) == []
