"""A timeline stays what it is, whoever has read its rows one by one."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from tests.model.runs import Row, drive


@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda timeline: pickle.loads(pickle.dumps(timeline)), lambda timeline: dataclasses.replace(timeline)],
)
def test_one_whose_rows_were_read_can_be_copied(again):
    timeline = drive(Row(0.0), Row(10.0, 1), Row(20.0, -1), end_s=30.0)
    rows = timeline.rows()
    assert timeline.rows() is rows
    found = again(timeline).rows()
    assert found is not rows
    for name in ("starts", "stretch_starts", "stretch_state", "stretch_address", "carried_until"):
        assert np.array_equal(getattr(found, name), getattr(rows, name))
