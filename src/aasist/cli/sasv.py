"""``aasist sasv``: scores of spoofing-robust speaker verification to a-DCF and t-EER."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aasist.cli.options import rounds_option, threads_option

FILE = click.Path(path_type=Path)
THREE = (float, float, float)


@click.command()
@click.argument("scores", type=FILE)
@click.option("--key", type=FILE, help="Key of the trials.  [default: the score file's own column asv-label]")
@click.option(
    "--priors",
    type=THREE,
    default=(0.9, 0.05, 0.05),
    show_default=True,
    metavar="TARGET NONTARGET SPOOF",
    help="Of the a-DCF; they sum to 1. The defaults are those of Shim et al., Odyssey 2024.",
)
@click.option(
    "--costs",
    type=THREE,
    default=(1.0, 10.0, 20.0),
    show_default=True,
    metavar="MISS NONTARGET SPOOF",
    help="Of rejecting a target, of accepting a non-target and a spoof.",
)
@rounds_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bootstrap.")
@threads_option
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object instead of the table.")
def sasv(
    scores: Path,
    key: Path | None,
    priors: tuple[float, float, float],
    costs: tuple[float, float, float],
    rounds: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """a-DCF and t-EER of a system that verifies speakers and rejects spoofs.

    SCORES is a score file of ASVspoof 5, track 2 (a header with spk, filename, cm-score, asv-score, sasv-score; - where
    the system gives none), or lines of speaker, recording, score and target, nontarget or spoof. a-DCF is that of
    sasv-score, with the costs chosen here and with those of ASVspoof 5; the concurrent t-EER that of cm-score and
    asv-score together.
    """
    from aasist.errors import ProtocolError
    from aasist.evaluation.sasv import ASVSPOOF5_SASV_COSTS, PUBLISHED_SASV_COSTS, VerificationCosts
    from aasist.evaluation.verification import verification_summary
    from aasist.protocol.sasv import read_sasv_scores
    from aasist.runtime.threads import available_threads

    try:
        chosen = VerificationCosts(*priors, *costs)
    except ValueError as error:
        raise click.UsageError(f"--priors, --costs: {error}") from error
    file = read_sasv_scores(scores, key=key)
    name = "a-DCF (Shim et al., 2024)" if chosen == PUBLISHED_SASV_COSTS else "a-DCF (costs as chosen)"
    try:
        summary = verification_summary(
            file.kinds,
            file.speakers,
            sasv=file.sasv,
            cm=file.cm,
            asv=file.asv,
            costs={"a_dcf": (name, chosen), "a_dcf_asvspoof5": ("a-DCF (ASVspoof 5)", ASVSPOOF5_SASV_COSTS)},
            rounds=rounds,
            seed=seed,
            threads=threads or available_threads(),
        )
    except ValueError as error:
        raise ProtocolError(str(error), path=scores) from error
    if as_json:
        choices = {"priors": priors, "costs": costs, "rounds": rounds, "seed": seed}
        click.echo(json.dumps({"scores": str(scores), **summary.to_dict(), "choices": choices}, allow_nan=False))
        return
    click.echo(summary.table().text())
    counts = ", ".join(f"{count:,} {kind}" for kind, count in summary.trials.items())
    click.echo(f"{counts}; resampled for the intervals: {summary.resampled}", err=True)
