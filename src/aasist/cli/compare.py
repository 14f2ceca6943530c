"""``aasist compare``: two systems on the same trials."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from aasist.cli.options import asv_of, asv_options, choice_options, choices, key_options


@click.command()
@click.argument("scores_a", type=click.Path(path_type=Path), metavar="A")
@click.argument("scores_b", type=click.Path(path_type=Path), metavar="B")
@key_options
@asv_options
@choice_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def compare(
    scores_a: Path,
    scores_b: Path,
    protocol: Path | None,
    layout: str | None,
    conditions: tuple[str, ...],
    asv_scores: Path | None,
    asv_key: Path | None,
    asv_rates: tuple[float, float, float] | None,
    threshold: float | None,
    by: tuple[str, ...],
    rounds: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Is score file A better than B? Differences of every figure with a paired interval.

    Both systems must have scored the same trials; each round of the bootstrap draws the same trials for both (whole
    speakers, where the protocol knows them). Where the interval holds 0, the difference may be chance.
    """
    from aasist.cli.metrics import keyed_scores
    from aasist.errors import ProtocolError
    from aasist.evaluation.bootstrap import compare as paired
    from aasist.evaluation.summary import comparable, known_speakers
    from aasist.evaluation.tables import comparison_table
    from aasist.protocol.scores import match_scores, read_scores

    if by:
        raise click.UsageError("--by belongs to metrics and evaluate; pick trials with --where")
    if rounds == 0:
        raise click.UsageError("--rounds must be above 0: a comparison is its interval")
    chosen = choices(threshold, by, rounds, seed, threads)
    trials, a = keyed_scores(scores_a, protocol, layout, conditions)
    if protocol is None:
        b = match_scores(read_scores(scores_b), trials)
    else:
        b = keyed_scores(scores_b, protocol, layout, conditions)[1]
    asv = asv_of(asv_scores, asv_key, asv_rates)
    assert trials.bonafide is not None
    try:
        found = paired(
            comparable(asv.pooled if asv else None, chosen),
            a,
            b,
            trials.bonafide,
            speakers=known_speakers(trials.columns)[0],
            rounds=chosen.rounds,
            level=chosen.level,
            seed=chosen.seed,
            threads=chosen.threads,
        )
    except ValueError as error:
        raise ProtocolError(str(error), path=scores_a) from error
    if as_json:
        values = {name: asdict(difference) for name, difference in found.items()}
        click.echo(json.dumps({"a": str(scores_a), "b": str(scores_b), "figures": values}, allow_nan=False))
    else:
        click.echo(comparison_table(scores_a.name, scores_b.name, found).text())
