"""Keys of a recipe: read from text, checked against type and range, named when they are wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.keys import RecipeError, key, keys_of, section, shown, values_of, with_values
from aasist.training.recipe import Recipe


@dataclass(frozen=True)
class Inner:
    share: float = key(0.5, "a share", low=0.0, high=1.0)
    kind: str = key("a", "a kind", choices=("a", "b"))


@dataclass(frozen=True)
class Outer:
    count: int = key(3, "a count", unit="trials", low=1)
    most: int | None = key(None, "a bound")
    sizes: tuple[int, ...] = key((), "sizes", low=1)
    pair: tuple[float, float] = key((0.0, 1.0), "a pair")
    flag: bool = key(False, "a flag")
    name: str | None = key(None, "a name")
    rate: float | None = key(None, "a rate")
    three: tuple[float, float, float] | None = key(None, "three numbers")
    inner: Inner = section(Inner)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "12", 12),
        ("count", "1_000", 1_000),
        ("most", "none", None),
        ("most", "7", 7),
        ("sizes", "1,2, 3", (1, 2, 3)),
        ("sizes", "[4]", (4,)),
        ("sizes", "", ()),
        ("pair", "1,2.5", (1.0, 2.5)),
        ("flag", "true", True),
        ("name", "x=y", "x=y"),
        ("rate", "2", 2.0),
        ("three", "2,2,100", (2.0, 2.0, 100.0)),
        ("three", "none", None),
        ("inner.share", "1", 1.0),
        ("inner.kind", "b", "b"),
    ],
)
def test_text_is_read_as_what_the_key_wants(name: str, text: str, value: Any) -> None:
    read = values_of(with_values(Outer(), {name: text}))[name]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cuont", 3, "no key 'cuont'; did you mean 'count'?"),
        ("inner", 3, "no key 'inner'"),
        ("inner.kinds", "a", "no key 'inner.kinds'; did you mean 'inner.kind'?"),
        ("count.x", 1, "no key 'count.x'"),
        ("count", "many", "count must be a whole number (trials), got 'many'"),
        ("count", 2.5, "count must be a whole number (trials), got 2.5"),
        ("count", True, "count must be a whole number (trials), got True"),
        ("count", 0, "count must be at least 1 (trials), got 0"),
        ("sizes", (3, 0), "sizes must be at least 1, got 0"),
        ("pair", (1.0,), "pair must be 2 numbers, got (1.0,)"),
        ("inner.share", 1.5, "inner.share must be at least 0 and at most 1, got 1.5"),
        ("inner.share", "nan", "inner.share must be finite, got nan"),
        ("inner.kind", "c", "inner.kind must be one of a, b, got 'c'"),
        ("flag", "yes", "flag must be true or false, got 'yes'"),
        ("three", [2, 2], "three must be 3 numbers or none, got (2.0, 2.0)"),
        ("three", [2, 2, True], "three must be 3 numbers or none, got (2.0, 2.0, True)"),
        ("name", "/data/\udcff", r"name must be text in UTF-8, got '/data/\udcff': give it another name"),
    ],
)
def test_a_key_or_value_that_cannot_be_is_named(name: str, value: Any, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        with_values(Outer(), {name: value})
    assert said in error.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate", 2), ("three", [2, 2, 100]), ("pair", [1, 2]), ("sizes", [1, 2]), ("three", [0.5, 2, 1])],
)
def test_whole_numbers_will_do_where_numbers_are_wanted(name: str, value: Any) -> None:
    read = values_of(with_values(Outer(), {name: value}))[name]
    wanted = int if name == "sizes" else float
    assert read == (tuple(value) if isinstance(value, list) else value)
    assert {type(item) for item in (read if isinstance(read, tuple) else (read,))} == {wanted}


@given(st.integers(1, 10**9), st.lists(st.integers(1, 10**6), max_size=4), st.floats(0, 1), st.booleans())
def test_what_is_shown_is_read_back(count: int, sizes: list[int], share: float, flag: bool) -> None:
    values = {"count": count, "sizes": tuple(sizes), "inner.share": share, "flag": flag, "most": None}
    texts = {name: shown(value) for name, value in values.items()}
    assert with_values(Outer(), texts) == with_values(Outer(), values)


def test_every_key_of_a_recipe_says_what_it_means_and_has_a_default_that_it_can_take() -> None:
    known = list(keys_of(Recipe))
    assert len(known) > 100
    assert len({one.name for one in known}) == len(known)
    for one in known:
        assert len(one.meaning) > 3, one.name
        if one.name not in ("optimiser.clip_norm",):
            assert values_of(with_values(Recipe(), {one.name: one.default}))[one.name] == one.default


def test_of_many_keys_the_nearest_are_named() -> None:
    many = dataclasses.make_dataclass(
        "Many",
        [(f"key_{letter}", int, key(1, "a number")) for letter in "abcdefghij"]
        + [("learning_rate", float, key(1.0, "a number"))],
        frozen=True,
    )
    with pytest.raises(RecipeError) as error:
        with_values(many(), {"optimizer.lrate": 3})
    assert error.value.message.startswith("no key 'optimizer.lrate'; of 11 the nearest are learning_rate, key_")
    assert error.value.message.endswith(" (--keys lists all)")
    assert len(error.value.message) < 150
