"""The choice of layers by their differences, on a model whose llr are the sum of what each layer does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from aasist.export.layers import GraphLayer, Kind
from aasist.export.sweep import Difference, Sweep, steps, swept

WINDOWS = 5


def layer(name: str, kind: Kind = "convolution") -> GraphLayer:
    return GraphLayer(name, kind, (name,), 10)


class Additive:
    """Each layer in int8 adds its damage to every llr."""

    def __init__(self, damage: dict[GraphLayer, float]) -> None:
        self.damage = damage
        self.layers = tuple(damage)
        self.asked: list[tuple[GraphLayer, ...]] = []

    def rounded(self, layers: tuple[GraphLayer, ...]) -> bytes:
        self.asked.append(layers)
        return json.dumps(sum(self.damage[layer] for layer in layers)).encode()

    @staticmethod
    def llrs_of(model: bytes) -> NDArray[np.float64]:
        return np.linspace(-1, 1, WINDOWS) + float(json.loads(model))

    def swept(self, **options: object) -> Sweep:
        return swept(self, self.llrs_of, **options)  # type: ignore[arg-type]


DAMAGE = {
    layer("sinc", "sinc"): 2.0,
    layer("first", "narrow"): 0.01,
    layer("a"): 0.02,
    layer("b"): -0.20,
    layer("c"): 0.05,
    layer("d"): 0.04,
    layer("graph", "graph"): 0.03,
    layer("readout", "readout"): 0.5,
}


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [(0.12, "abcd"), (0.115, "abcd"), (0.085, "ad"), (0.065, "ad"), (0.05, "a"), (0.025, "a"), (0.01, "")],
)
def test_the_worst_goes_back_to_float_until_the_tolerance_holds(tolerance: float, expected: str) -> None:
    """Together they do -0.09; without b +0.11, without b and c +0.06, a alone +0.02."""
    found = Additive(DAMAGE).swept(tolerance=tolerance)
    assert "".join(layer.name for layer in found.chosen) == expected
    assert found.together.mean <= tolerance
    damage = abs(sum(DAMAGE[layer] for layer in found.chosen))
    assert found.together.mean == pytest.approx(damage)


def test_each_layer_is_measured_alone_whatever_becomes_of_it() -> None:
    rounder = Additive(DAMAGE)
    done: list[int] = []
    found = rounder.swept(tolerance=1.0, progress=done.append)
    assert {one.layer: one.alone.mean for one in found.layers} == pytest.approx(
        {layer: abs(damage) for layer, damage in DAMAGE.items()}
    )
    assert done == list(range(1, steps(rounder) + 1))
    assert found.windows == WINDOWS


def test_other_layers_join_only_where_they_are_offered_and_the_tolerance_holds() -> None:
    tolerance = 0.1  # the convolutions do -0.09; with first and graph it is -0.05, with the readout +0.45
    assert [layer.name for layer in Additive(DAMAGE).swept(tolerance=tolerance).chosen] == ["a", "b", "c", "d"]
    found = Additive(DAMAGE).swept(tolerance=tolerance, every_layer=True)
    assert [layer.name for layer in found.chosen] == ["first", "a", "b", "c", "d", "graph"]


def test_without_the_worst_leaves_out_what_does_most_alone() -> None:
    found = Additive(DAMAGE).swept(tolerance=1.0)
    fewer = found.without_worst()
    assert [layer.name for layer in fewer] == ["a", "c", "d"]
    again = found.rounding(fewer, Difference(0.11, 0.2))
    assert (again.chosen, again.together.largest) == (fewer, 0.2)
    assert [layer.name for layer in again.without_worst()] == ["a", "d"]


def test_an_llr_that_is_no_number_never_holds_the_tolerance() -> None:
    broken = {layer("b"): 0.01, layer("a"): float("nan")}
    found = Additive(broken).swept(tolerance=1.0)
    assert [one.name for one in found.chosen] == ["b"]
    assert [one["mean_llr"] for one in found.to_dict()["layers"]] == [pytest.approx(0.01), None]


def test_the_table_names_what_does_least_first_and_the_report_keeps_the_order_of_the_graph() -> None:
    found = Additive(DAMAGE).swept(tolerance=0.1)
    rows = found.table().rows
    assert [row[0] for row in rows] == ["first", "a", "graph", "d", "c", "b", "readout", "sinc", "together"]
    assert rows[-1][:3] == ("together", "40", "0.0900")
    told = found.to_dict()
    assert [one["layer"] for one in told["layers"]] == [layer.name for layer in DAMAGE]
    assert [one["rounded"] for one in told["layers"]] == [False, False, True, True, True, True, False, False]
    assert told["tolerance_llr"] == 0.1
