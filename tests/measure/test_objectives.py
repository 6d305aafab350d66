import math

import pytest

from sim.measure.objectives import bound_in_words, judge

SPREAD = [0.90, 0.94, 0.98, 0.92, 0.96, 0.93, 0.97]


@pytest.mark.parametrize(("at_least", "verdict"), [(0.80, "met"), (0.94, "undecided"), (0.99, "missed")])
def test_a_share_is_judged_by_the_interval(at_least: float, verdict: str) -> None:
    judged = judge(SPREAD, 1, "reachability", at_least=at_least)
    assert judged["verdict"] == verdict
    assert judged["low"] < judged["value"] < judged["high"]


def test_an_upper_bound() -> None:
    seconds = [value * 10 for value in SPREAD]
    verdicts = [judge(seconds, 1, "recovery_s.p95", at_most=bound)["verdict"] for bound in (10.0, 9.4, 8.0)]
    assert verdicts == ["met", "undecided", "missed"]


def test_both_bounds() -> None:
    assert judge(SPREAD, 1, "reachability", at_least=0.5, at_most=0.999)["verdict"] == "met"
    assert judge(SPREAD, 1, "reachability", at_least=0.5, at_most=0.6)["verdict"] == "missed"


def test_where_nothing_varies_the_value_decides() -> None:
    judged = judge([0.95, 0.95], 1, "reachability", at_least=0.95)
    assert (judged["verdict"], judged["low"], judged["note"]) == ("met", None, "nothing varied")
    assert judge([0.9], 1, "reachability", at_least=0.95)["verdict"] == "missed"


def test_none_lost_means_none_in_any_drive() -> None:
    assert judge([0.0, 0.0, 0.0], 1, "ota.lost", at_most=0)["verdict"] == "met"
    one = judge([0.0, 1.0, 0.0], 1, "ota.lost", at_most=0)
    assert (one["verdict"], one["value"]) == ("missed", pytest.approx(1 / 3))


def test_beyond_the_horizon_is_above_every_bound() -> None:
    judged = judge([1.0, math.inf], 1, "ota.latency_s.p99", at_most=1e6)
    assert (judged["verdict"], judged["value"], judged["note"]) == ("missed", None, "beyond the horizon in 1 of 2 drives")


def test_without_data_nothing_is_decided() -> None:
    assert judge([None, None], 1, "recovery_s.p95", at_most=10.0)["verdict"] == "undecided"
    assert judge([], 1, "ota.lost", at_most=0)["verdict"] == "undecided"


def test_bounds_in_words() -> None:
    assert bound_in_words(0, None) == "at_most 0"
    assert bound_in_words(None, 0.95) == "at_least 0.95"
