"""Recipe files: a base and what differs from it, whatever the section is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from aasist.keys import RecipeError, key, section, values_of
from aasist.recipefile import Shelf, in_toml, parsed_change, with_changes


@dataclass(frozen=True)
class Pan:
    size: int = key(20, "width", unit="cm", low=1)
    lid: str | None = key(None, "what covers it")


@dataclass(frozen=True)
class Dish:
    serves: int = key(2, "people", low=1)
    spices: tuple[str, ...] = key((), "what goes in")
    pan: Pan = section(Pan)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf[Dish]:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "soup.toml").write_text('serves = 4\n[pan]\nlid = "glass"\n')
    return Shelf(Dish, folder)


def test_a_file_differs_from_its_base_and_is_read_back_as_it_was_written(shelf: Shelf[Dish], tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "soup"\nspices = ["salt", "mace"]\n[pan]\nsize = 28\n')
    dish = shelf.read(mine)
    assert dish == Dish(4, ("salt", "mace"), Pan(28, "glass"))
    (tmp_path / "again.toml").write_text(in_toml(values_of(dish)))
    assert shelf.read(tmp_path / "again.toml") == dish
    plain = tmp_path / "plain.toml"
    plain.write_text(in_toml(values_of(Dish())))
    assert shelf.read(plain) == Dish()
    assert shelf.names() == ("soup",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("serve = 3", "no key 'serve'; did you mean 'serves'?"),
        ("serves = 0", "serves must be at least 1, got 0"),
        ("serves = ", "not a recipe in TOML"),
        ('base = "stew"', "no recipe 'stew': neither a file nor one of soup"),
        ('base = "mine.toml"', "its bases lead back to it"),
        ("base = 3", "base must be the name or path of a recipe, got 3"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(
    shelf: Shelf[Dish], tmp_path: Path, text: str, said: str
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    with pytest.raises(RecipeError) as error:
        shelf.read(mine)
    assert error.value.message.startswith(str(mine))
    assert said in error.value.message


def test_the_last_word_of_a_key_is_enough_where_one_section_has_it() -> None:
    assert with_changes(Dish(), dict([parsed_change("size=30"), parsed_change("lid = none")])).pan == Pan(30, None)
    with pytest.raises(RecipeError, match="expected KEY=VALUE, got 'size'"):
        parsed_change("size")
