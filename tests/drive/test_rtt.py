from dataclasses import replace

import numpy as np
import pytest

from sim.drive.config import RTT, LinkSettings, Silences
from sim.drive.course import Course, steps
from sim.drive.rtt import rates_over_time, rtt_over_time
from sim.drive.silences import draw_silences
from sim.drive.timeline import LinkState

KEY = (1, 0, 0)


def course(end_s: float, *changes: tuple[float, int]) -> Course:
    return Course(
        end_s=end_s,
        slot_s=np.zeros(1),
        cells=("A", "B"),
        serving=steps([(0.0, 0), *changes], np.int32),
        gateways=("g",),
        prefers=steps([(0.0, 0)], np.int32),
        blocked=(),
    )


def test_rtt_has_its_median_p95_and_correlation():
    rtt = rtt_over_time(course(50_000.0), RTT(), True, KEY).value[:-1]
    assert np.median(rtt) == pytest.approx(0.080, rel=0.02)
    assert np.quantile(rtt, 0.95) == pytest.approx(0.178, rel=0.03)
    z = np.log(rtt) - np.log(rtt).mean()
    assert np.mean(z[2:] * z[:-2]) / z.var() == pytest.approx(np.exp(-1.0), abs=0.03)


def test_rtt_is_inflated_for_a_second_after_a_cell_change():
    constant = RTT(p95_s=0.080)
    rtt = rtt_over_time(course(60.0, (10.25, 1)), constant, True, KEY)
    assert rtt.at(np.array([10.24, 10.25, 11.2, 11.25])).tolist() == [0.08, 0.16, 0.16, 0.08]


def test_return_to_the_same_cell_after_an_outage_is_no_cell_change():
    assert course(60.0, (10.0, -1), (12.0, 0), (20.0, -1), (22.0, 1)).cell_changes_s().tolist() == [22.0]


def test_tail_share_and_range():
    rtt = rtt_over_time(course(100_000.0), RTT(tail_share=0.007), True, KEY).value[:-1]
    tail = rtt[rtt >= 1.0]
    assert len(tail) / len(rtt) == pytest.approx(0.007, rel=0.1)
    assert tail.max() <= 30.0


def test_after_the_drive_rtt_is_usual():
    rtt = rtt_over_time(course(60.0), RTT(tail_share=0.9), True, KEY)
    assert rtt.value[-1] == 0.080


def test_without_realism_all_is_constant():
    link = LinkSettings(realism=False, rate_sigma=1.0)
    there = course(60.0, (10.0, 1))
    assert rtt_over_time(there, RTT(), False, KEY).value.tolist() == [0.080]
    assert [rate.value.tolist() for rate in rates_over_time(there, link, KEY)] == [[20e6], [5e6]]


def test_downlink_dips_for_two_seconds_after_a_cell_change():
    down, up = rates_over_time(course(60.0, (10.5, 1)), LinkSettings(), KEY)
    assert down.at(np.array([10.4, 10.5, 12.4, 12.5])).tolist() == [20e6, 14e6, 14e6, 20e6]
    assert set(up.value.tolist()) == {5e6}


def test_rate_is_what_sinr_allows_up_to_the_limit():
    allowed = replace(course(60.0), capacity_bps=steps([(0.0, 3e6), (5.0, 50e6)], np.float64))
    down, up = rates_over_time(allowed, LinkSettings(), KEY)
    assert (down.at(np.array([1.0, 6.0])).tolist(), up.at(np.array([1.0, 6.0])).tolist()) == ([3e6, 20e6], [3e6, 5e6])


def test_log_rate_correlation():
    far = replace(course(50_000.0), capacity_bps=steps([(0.0, 1e6)], np.float64))
    log_rate = np.log(rates_over_time(far, LinkSettings(rate_sigma=0.8, downlink_bps=1e12), KEY)[0].value[:-1])
    z = log_rate - log_rate.mean()
    assert z.std() == pytest.approx(0.8, rel=0.03)
    assert np.mean(z[1:] * z[:-1]) / z.var() == pytest.approx(0.5, abs=0.02)


def test_silences_come_at_their_rate_and_length():
    silences = draw_silences(Silences(over_2s_per_hour=7.7, over_10s_per_hour=0.83), 3600.0 * 1000, KEY)
    lengths = np.array([b.what.end_s - b.what.start_s for b in silences])
    assert np.sum(lengths < 5.0) / 1000 == pytest.approx(7.7, rel=0.05)
    assert np.sum(lengths >= 10.0) / 1000 == pytest.approx(0.83, rel=0.15)
    assert ((lengths >= 2.0) & (lengths <= 30.0)).all()
    assert all(b.state == LinkState.LOST and not b.out_of_service for b in silences)


def test_one_class_of_silences_does_not_move_another():
    one = draw_silences(Silences(over_2s_per_hour=7.7), 36_000.0, KEY)
    both = draw_silences(Silences(over_2s_per_hour=7.7, over_30s_per_hour=1.0), 36_000.0, KEY)
    assert [b for b in both if b.what.end_s - b.what.start_s < 5.0] == one
