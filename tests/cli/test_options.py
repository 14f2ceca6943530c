"""Options that verbs share: gathered into one argument, under their own names in the help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aasist.cli.options import CorpusOptions, KeyOptions, MeasureOptions, gathered


@dataclass(frozen=True)
class Place:
    """Two options of a verb."""

    city: str
    streets: tuple[str, ...]


@click.command()
@click.argument("what")
@gathered(
    "place",
    Place,
    click.option("--city", default="here", help="First."),
    click.option("--street", "streets", multiple=True, help="Second."),
)
@click.option("--last", is_flag=True)
def verb(what: str, place: Place, last: bool) -> None:
    """Says what it got."""
    click.echo(f"{what} {place} {last}")


def test_a_verb_gets_its_group_as_one_argument_beside_those_of_its_own() -> None:
    said = CliRunner().invoke(verb, ["x", "--street", "a", "--street", "b", "--last"])
    assert said.output == f"x {Place('here', ('a', 'b'))} True\n"


def test_help_keeps_the_order_of_the_options_and_the_verb_its_docstring() -> None:
    said = CliRunner().invoke(verb, ["--help"]).output
    assert said.index("Says what it got.") < said.index("--city") < said.index("--street") < said.index("--last")


def test_groups_know_whether_anything_was_given() -> None:
    assert not KeyOptions(None, None, ())
    assert KeyOptions(None, None, ("a=b",))
    assert not CorpusOptions(None, None, None)
    assert CorpusOptions(None, Path(), None)


def test_the_threshold_of_the_options_stands_before_that_of_the_model() -> None:
    def measures(threshold: float | None) -> MeasureOptions:
        return MeasureOptions(None, None, None, threshold, ("codec",), 7, 3, 2)

    chosen = measures(None).choices()
    assert (chosen.threshold, chosen.by, chosen.rounds, chosen.seed, chosen.threads) == (0.0, ("codec",), 7, 3, 2)
    assert measures(None).choices(1.5).threshold == 1.5
    assert measures(0.0).choices(1.5).threshold == 0.0
    with pytest.raises(click.UsageError, match="--threshold must be a finite number"):
        measures(float("inf")).choices()
