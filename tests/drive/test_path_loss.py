import numpy as np
import pytest

from sim.drive.path_loss import los_probability, path_loss_db
from sim.drive.radio import element_share_db, noise_dbm


@pytest.mark.parametrize(
    ("model", "distance_m", "frequency_hz", "los_db", "nlos_db"),
    [
        # worked by hand from table 7.4.1-1
        ("uma", 1000.0, 2e9, 108.907, 136.805),
        ("umi", 200.0, 3.5e9, None, 115.229),
        ("rma", 500.0, 0.8e9, 85.793, None),
        ("rma", 5000.0, 0.8e9, None, 144.60),
    ],
)
def test_path_loss_is_that_of_the_standard(model, distance_m, frequency_hz, los_db, nlos_db):
    los, nlos = path_loss_db(model, np.array([distance_m]), frequency_hz)
    if los_db is not None:
        assert los[0] == pytest.approx(los_db, abs=0.005)
    if nlos_db is not None:
        assert nlos[0] == pytest.approx(nlos_db, abs=0.01)


@pytest.mark.parametrize("model", ["uma", "umi", "rma"])
def test_path_loss_rises_with_distance_and_has_no_step_at_the_break_point(model):
    distance = np.arange(10.0, 20e3, 1.0)
    los, nlos = path_loss_db(model, distance, 1.8e9)
    assert (np.diff(los) > -0.02).all()
    assert np.abs(np.diff(los)).max() < 1.0
    assert (nlos >= los).all()


@pytest.mark.parametrize(
    ("model", "distance_m", "share"),
    [
        ("uma", 18.0, 1.0),
        ("uma", 100.0, 0.34767),
        ("umi", 100.0, 0.18 + 0.82 * np.exp(-100 / 36)),
        ("rma", 5.0, 1.0),
        ("rma", 1010.0, np.exp(-1.0)),
    ],
)
def test_los_probability(model, distance_m, share):
    assert los_probability(model, np.array([distance_m]))[0] == pytest.approx(share, abs=1e-4)


def test_power_of_a_resource_element_and_its_noise():
    assert element_share_db(10e6) == pytest.approx(-27.78, abs=0.01)  # 600 subcarriers
    assert noise_dbm(9.0) == pytest.approx(-123.24, abs=0.01)
