import numpy as np
import pytest

from sim.drive.config import Handover
from sim.drive.handover import serve
from sim.drive.radio import UNHEARD_DBM, Signals
from sim.drive.timeline import LinkState

PERIOD_S = 0.2


def signals(*rsrp: np.ndarray, noise_dbm: float = -123.0) -> Signals:
    """Filtered and unfiltered measurements are the same; every tower has its own carrier, so none interferes."""
    dbm = np.array(rsrp, dtype=float)
    power = np.where(dbm > UNHEARD_DBM, 10 ** (dbm / 10), 0.0)
    return Signals(PERIOD_S, dbm, power, power.copy(), np.arange(len(dbm)), 10 ** (noise_dbm / 10), 0.5)


def level(*pieces: tuple[float, int]) -> np.ndarray:
    return np.concatenate([np.full(n, dbm) for dbm, n in pieces])


def drive(measured: Signals, handover: Handover | None = None, key=None):
    names = tuple("ABCDEFGH"[: len(measured.rsrp_dbm)])
    return serve(measured, handover or Handover(), -8.0, names, (measured.samples - 1) * PERIOD_S, key)


@pytest.mark.parametrize(
    ("neighbour", "at_s"),
    [
        (level((-100, 10), (-85.9, 40)), 2.32),  # 4.1 dB better: Off 3 dB + Hys 1 dB
        (level((-100, 10), (-86.0, 40)), None),  # not better than the margin
        (level((-100, 10), (-85.9, 1), (-87.0, 3), (-85.9, 36)), 3.12),  # left once: the time to trigger starts again
        (level((-100, 10), (-85.9, 1), (-87.0, 39)), None),
    ],
)
def test_event_a3(neighbour, at_s):
    service = drive(signals(level((-90, 50)), neighbour))
    assert service.serving.at_s.tolist() == ([0.0] if at_s is None else [0.0, pytest.approx(at_s)])
    if at_s is not None:
        (blocked,) = service.blocked
        assert (blocked.what.kind, blocked.what.before, blocked.what.after) == ("handover", "A", "B")
        assert blocked.state == LinkState.HELD
        assert blocked.what.end_s - blocked.what.start_s == pytest.approx(0.019)


@pytest.mark.parametrize(("trigger_s", "at_s"), [(0.0, 2.0), (0.04, 2.04), (0.4, 2.4), (1.28, 3.28)])
def test_time_to_trigger_ends_between_samples(trigger_s, at_s):
    service = drive(signals(level((-90, 50)), level((-100, 10), (-80, 40))), Handover(time_to_trigger_s=trigger_s))
    assert service.serving.at_s[1] == pytest.approx(at_s)


def test_of_several_neighbours_the_strongest_is_taken():
    service = drive(signals(level((-90, 50)), level((-100, 10), (-84, 40)), level((-100, 10), (-82, 40))))
    assert service.serving.value.tolist() == [0, 2]


def test_an_offset_below_zero_does_not_hand_over_to_itself():
    service = drive(signals(level((-90, 50)), level((-120, 50))), Handover(a3_offset_db=-5.0, hysteresis_db=0.0))
    assert service.blocked == ()


def test_out_of_sync_for_t310_is_radio_link_failure_and_a_gap_until_a_cell_is_in_sync():
    weak = level((-100, 10), (-140, 30), (-100, 20))
    service = drive(signals(weak))
    kinds = [(b.what.kind, pytest.approx(b.what.start_s), pytest.approx(b.what.end_s)) for b in service.blocked]
    # lost from the first sample below Qout; T310 1 s; 1.65 s to look for a cell; the gap ends with the first good sample
    assert kinds == [("radio_link_failure", 2.0, 4.65), ("coverage_gap", 4.65, 8.0)]
    assert all(b.state == LinkState.LOST and b.out_of_service for b in service.blocked)
    assert service.serving.value.tolist() == [0, -1, 0]


def test_a_dip_shorter_than_t310_loses_nothing():
    assert drive(signals(level((-100, 10), (-140, 5), (-100, 20)))).blocked == ()
    assert len(drive(signals(level((-100, 10), (-140, 6), (-100, 20)))).blocked) == 1


def test_no_cell_at_all():
    service = drive(signals(level((-150, 50))))
    (blocked,) = service.blocked
    assert (blocked.what.kind, blocked.what.start_s, blocked.what.end_s, blocked.forever) == ("coverage_gap", 0.0, 9.8, True)
    assert service.serving.value.tolist() == [-1]


def test_a_failed_handover_is_lost_for_t310_and_reselection():
    service = drive(signals(level((-90, 50)), level((-100, 10), (-80, 40))), Handover(failure_share=1.0), key=(1, 0, 0))
    first = service.blocked[0].what
    assert (first.kind, first.cause, first.before, first.after) == ("radio_link_failure", "handover failed", "A", "B")
    assert first.start_s == pytest.approx(2.32)
    assert 1.3 <= first.end_s - first.start_s <= 4.0


def test_interruptions_have_their_median_and_p95():
    a = np.where(np.arange(20_000) // 10 % 2 == 0, -80.0, -100.0)
    service = drive(signals(a, -180.0 - a), Handover(failure_share=0.0), key=(1, 0, 0))
    lengths = np.array([b.what.end_s - b.what.start_s for b in service.blocked])
    assert len(lengths) > 1500
    assert np.median(lengths) == pytest.approx(0.019, rel=0.05)
    assert np.quantile(lengths, 0.95) == pytest.approx(0.0456, rel=0.1)


def test_two_cells_that_are_each_better_than_the_other_change_once_a_sample():
    at_once = Handover(a3_offset_db=-3.0, hysteresis_db=0.0, time_to_trigger_s=0.0, interruption_s=0.0)
    service = drive(signals(level((-90, 20)), level((-90, 20))), at_once)
    assert np.diff(service.serving.at_s)[1:] == pytest.approx(PERIOD_S)
