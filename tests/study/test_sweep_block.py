"""The `sweep:` block: which points there are, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from sim.scenario.document import ScenarioErrors
from sim.scenario.load import load
from sim.scenario.sweep import load_sweep
from sim.scenario.sweep_block import range_values


def texts(plan):
    return [tuple(point.values.values()) for point in plan.points]


def test_a_product_has_every_combination_the_last_key_fastest(write):
    plan = load_sweep(write("sweep: {product: {hybrid.poll: [10 s, 30 s], server.tls: [classical, pqc]}}"))
    assert texts(plan) == [("10 s", "classical"), ("10 s", "pqc"), ("30 s", "classical"), ("30 s", "pqc")]
    polls = [point.scenario.strategies[1].config.poll_s for point in plan.points]
    assert polls == [10.0, 10.0, 30.0, 30.0]
    assert [point.scenario.server.tls.profile for point in plan.points] == ["classical", "pqc"] * 2


def test_zipped_keys_go_together_beside_a_product(write):
    plan = load_sweep(
        write("sweep: {product: {hybrid.poll: [10 s, 30 s]}, zip: {server.tls: [classical, pqc], server.dns_ttl: [60 s, 9 s]}}")
    )
    assert texts(plan) == [
        ("10 s", "classical", "60 s"), ("10 s", "pqc", "9 s"), ("30 s", "classical", "60 s"), ("30 s", "pqc", "9 s"),
    ]  # fmt: skip
    assert plan.points[1].scenario.server.dns.ttl_s == 9.0


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"from": "10 s", "to": "60 s", "step": "25 s"}, ["10 s", "35 s", "60 s"]),
        ({"from": "0.1 s", "to": "0.35 s", "step": "0.1 s"}, ["0.1 s", "0.2 s", "0.3 s"]),
        ({"from": 1, "to": 5, "count": 3}, [1, 3, 5]),
        ({"from": "1 s", "to": "100 s", "count": 3, "scale": "log"}, ["1 s", "10 s", "100 s"]),
        ({"from": "10 %", "to": "30 %", "count": 3}, ["10 %", "20 %", "30 %"]),
    ],
)
def test_ranges(given, found):
    assert range_values(given) == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"from": "10 s", "to": "60 s"}, "one of `step` and `count`"),
        ({"from": "10 s", "to": "1 min", "count": 3}, "same unit"),
        ({"from": "10 s", "to": "60 s", "step": "0 s"}, "step above 0"),
        ({"from": 0, "to": 5, "count": 3, "scale": "log"}, "above 0"),
        ({"from": 0, "to": 5, "count": 1}, "whole number from 2"),
        ({"from": 0, "to": 5, "cuont": 3}, "did you mean count"),
        ({"from": "0 s", "to": "1000000 s", "step": "1 s"}, "at most 10000"),
    ],
)
def test_wrong_ranges(given, says):
    with pytest.raises(ValueError, match=says):
        range_values(given)


def test_points_that_do_not_meet_where_are_left_out(write):
    axes = "{hybrid.poll: [10 s, 30 s, 1 min], server.dns_ttl: [20 s, 40 s]}"
    block = f"sweep: {{product: {axes}, where: [hybrid.poll < server.dns_ttl]}}"
    plan = load_sweep(write(block))
    assert texts(plan) == [("10 s", "20 s"), ("10 s", "40 s"), ("30 s", "40 s")]
    assert plan.left_out == 3


def test_where_compares_with_values_in_any_unit_and_with_words(write):
    axes = "{hybrid.poll: [10 s, 90 s], server.tls: [classical, pqc]}"
    block = f"sweep: {{product: {axes}, where: [hybrid.poll >= 1 min, server.tls != pqc]}}"
    assert texts(load_sweep(write(block))) == [("90 s", "classical")]


def test_an_axis_of_numbers_stands_in_si_units(write):
    plan = load_sweep(write(), varies=["link.rtt.median=40 ms,0.1 s", "server.tls=classical,pqc"])
    assert plan.axes[0].numbers == (0.04, 0.1)
    assert plan.axes[0].unit == "s"
    assert plan.axes[1].numbers is None
    assert plan.axes[1].column("pqc") == "pqc"


def test_vary_adds_an_axis_and_takes_the_place_of_one_of_the_block(write):
    path = write("sweep: {product: {hybrid.poll: [10 s, 30 s]}}")
    plan = load_sweep(path, varies=["hybrid.poll={from: 5 s, to: 15 s, count: 3}", "server.tls=pqc"])
    assert texts(plan) == [("5 s", "pqc"), ("10 s", "pqc"), ("15 s", "pqc")]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("sweep: {product: {hybrid.pol: [3 s]}}", ":15:32: strategies.1.pol: unknown key, did you mean poll"),
        ("sweep:\n  product:\n    hybrid.poll: [10 s, 3]", ":17:25: strategies.1.poll: 3 has no unit, expected a duration"),
        ("sweep: {product: {nobody.poll: [10 s]}}", ":15:33: nobody.poll: 'nobody' is neither a strategy nor a key"),
        ("sweep: {prodcut: {hybrid.poll: [10 s]}}", ":15:9: sweep.prodcut: unknown key, did you mean product"),
        ("sweep: {product: {hybrid.poll: 10 s}}", ":15:32: sweep.product.hybrid.poll: expected a list of values, or a range"),
        ("sweep: {product: {hybrid.poll: [10 s, 10 s]}}", ":15:39: sweep.product.hybrid.poll.1: 10 s is there twice"),
        ("sweep: {zip: {hybrid.poll: [1 s, 2 s], seed: [1]}}", ":15:14: sweep.zip: expected equally many values"),
        ("sweep: {product: {seed: [1]}, zip: {seed: [2]}}", "seed is varied twice"),
        ("sweep: {product: {seed: [1]}, where: seed}", "is not understood"),
        ("sweep: {product: {seed: [1]}, where: sead < 3}", "did you mean seed"),
        ("sweep: {product: {hybrid.poll: [1 s]}, where: hybrid.poll < 3}", "expected a value in s"),
        ("sweep: {product: {server.tls: [pqc]}, where: server.tls < pqc}", "is text, expected == or !="),
        ("sweep: {product: {seed: [1]}, where: seed > 3}", "no point of 1 meets it"),
        ("sweep: {product: {seed: {from: 1, to: 9}}}", ":15:25: sweep.product.seed: a range needs"),
        ("sweep: [1]", ":15:8: sweep: expected a mapping"),
        ("", "nothing to sweep"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(write, block, line):
    path = write(block)
    with pytest.raises(ScenarioErrors) as found:
        load_sweep(path)
    assert len(found.value.lines) == 1
    assert line in found.value.lines[0]
    assert found.value.lines[0].startswith(str(path))


def test_a_mistake_of_vary_names_the_option(write):
    with pytest.raises(ScenarioErrors) as found:
        load_sweep(write(), varies=["hybrid.poll=3"])
    assert found.value.lines == ["--vary hybrid.poll: 3 has no unit, expected a duration such as 30 s (ms, s, min, h, d)"]


def test_many_points_with_the_same_mistake_are_one_line(write):
    with pytest.raises(ScenarioErrors) as found:
        load_sweep(write(), varies=["hybrid.pol=1 s", "seed={from: 1, to: 50, step: 1}"])
    assert len(found.value.lines) == 1


def test_other_commands_leave_the_block_alone_but_see_its_form(write):
    assert load(write("sweep: {product: {hybrid.poll: [10 s]}}")).strategies[1].config.poll_s == 60.0
    with pytest.raises(ScenarioErrors, match="did you mean product"):
        load(write("sweep: {prodcut: {}}"))


def test_the_schema_knows_the_block():
    import jsonschema

    from sim.scenario.schema import scenario_schema

    schema = scenario_schema()["properties"]["sweep"]
    good = {"product": {"hybrid.poll": ["1 s"], "seed": {"from": 1, "to": 3, "step": 1}}, "where": ["seed < 2"]}
    jsonschema.validate(good, schema)
    for bad in ({"prodcut": {}}, {"product": {"seed": 1}}, {"product": {"seed": {"from": 1}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
