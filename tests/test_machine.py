"""Deadlines against a plain dictionary; inputs and actions as the contract has them."""

import dataclasses
import typing

from hypothesis import given
from hypothesis import strategies as st

from sim import machine
from sim.machine import NEVER, Action, Deadlines, Input

NAMES = st.sampled_from(["a", "b", "c", "d"])
TIMES = st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.5, 10.0, NEVER])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), NAMES, TIMES),
        st.tuples(st.just("clear"), NAMES),
        st.tuples(st.just("due"), TIMES.filter(lambda at: at < NEVER)),
    ),
    max_size=40,
)


@given(STEPS)
def test_deadlines_are_what_a_dictionary_says(steps):
    deadlines, plain = Deadlines(), {}
    for step in steps:
        if step[0] == "set":
            deadlines.set(step[1], step[2])
            plain[step[1]] = step[2]
        elif step[0] == "clear":
            deadlines.clear(step[1])
            plain.pop(step[1], None)
        else:
            due = min(((at, name) for name, at in plain.items() if at <= step[1]), default=None)
            assert deadlines.due(step[1]) == (due[1] if due else None)
            if due:
                del plain[due[1]]
        assert deadlines.earliest == min(plain.values(), default=NEVER)
        assert all(deadlines.at(name) == plain.get(name, NEVER) for name in "abcd")


def test_there_are_few_inputs_and_actions_and_all_are_slots_dataclasses():
    """Design of the contract: inputs are past participles, actions imperatives, few (ARCHITECTURE.md), nothing frozen."""
    kinds = [*typing.get_args(Input), *typing.get_args(Action)]
    assert len(kinds) <= 21
    for kind in [*kinds, machine.Message]:
        assert dataclasses.is_dataclass(kind)
        assert "__dict__" not in vars(kind)  # slots, also where the lab is compiled
        assert not kind.__dataclass_params__.frozen
    assert all(kind.__name__.endswith(("ed", "Lost")) for kind in typing.get_args(Input))
