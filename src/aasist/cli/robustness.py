"""``aasist robustness``: how much error an attacker causes who knows the model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.cli.options import CorpusOptions, corpus_options, rounds_option, threads_option
from aasist.errors import MissingExtra

if TYPE_CHECKING:
    from aasist.evaluation.figures import Choices
    from aasist.evaluation.tables import StressRow
    from aasist.model.whitebox import Attack
    from aasist.trial import Trials
    from aasist.trials.adversary import Attacked, Target

WEAKEST_DB, STRONGEST_DB = 120.0, 0.0
"""Beyond the one, changes drown in the rounding of float32; beyond the other, the perturbation is louder than the speech."""


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@corpus_options("the one that is for evaluation")
@click.option(
    "--attack",
    "kind",
    type=click.Choice(["pgd", "fgsm"]),
    default="pgd",
    show_default=True,
    help="pgd: steps along the gradient's sign from a random start; fgsm: one step.",
)
@click.option("--steps", type=click.IntRange(min=1, max=1000), help="Of pgd.  [default: 10]")
@click.option(
    "--snr",
    "snrs_db",
    type=click.FloatRange(STRONGEST_DB, WEAKEST_DB),
    multiple=True,
    default=(70.0, 60.0, 50.0, 40.0),
    show_default=True,
    metavar="DB",
    help="Level of the recording above the largest change of a sample: lower is a stronger attack. May be repeated.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Trials of each class, drawn by --seed and their ids; more than there are: all.",
)
@click.option("--first-window", is_flag=True, help="Attack the first window alone.  [default: all that detect scores]")
@rounds_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random.")
@threads_option
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a model instead of the table; rates are fractions."
)
def robustness(
    models: tuple[str, ...],
    recordings: CorpusOptions,
    kind: str,
    steps: int | None,
    snrs_db: tuple[float, ...],
    most: int,
    first_window: bool,
    rounds: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Attack MODEL on a corpus, white-box, and say how far its equal error rate rises, with intervals.

    aasist robustness efficient --corpus manifest --root dev.tsv --snr 70 --snr 50

    MODEL is a shipped name or a .safetensors or .pth checkpoint (extra: train); several are attacked on the same trials.
    Every trial is pushed towards the class that it is not, by one who has the weights and follows the gradient to the
    waveform: the worst case, not what an attacker who only hears verdicts would reach. Exit code 1: some recordings could
    not be read; the figures are those of the others.
    """
    if kind == "fgsm" and steps is not None:
        raise click.UsageError("--steps is of --attack pgd: fgsm is one step")
    if not all(map(math.isfinite, snrs_db)):  # click lets what is no number pass any range
        raise click.UsageError("--snr must be a number of dB, got nan")
    if len(set(snrs_db)) < len(snrs_db):
        raise click.UsageError(f"--snr names a strength twice: {', '.join(f'{snr:g}' for snr in snrs_db)}")
    try:
        from aasist.model.whitebox import Attack, use_threads
        from aasist.trials.adversary import drawn, target_of
    except ModuleNotFoundError as error:
        raise MissingExtra("an attack", "train") from error
    from aasist.cli.scoring import trials_of
    from aasist.evaluation.figures import Choices
    from aasist.runtime.threads import available_threads

    every, folder = trials_of(recordings)
    targets = [target_of(model) for model in models]  # all of them, before the hours that the first takes
    trials = drawn(every, most, seed)
    attack = Attack(kind, 1 if kind == "fgsm" else steps or 10, seed)
    choices = Choices(rounds=rounds, seed=seed, threads=threads or available_threads())
    use_threads(choices.threads)
    found = []
    unreadable = 0
    for target in targets:
        attacked = _attacked(
            target, trials, folder, sorted(snrs_db, reverse=True), attack, choices.threads, first_window
        )
        rows = _rows(attacked, trials, attack, choices)
        unreadable += attacked.unreadable
        found.append((target, rows))
        if as_json:
            click.echo(json.dumps(_values(target, trials, attack, attacked, rows, choices), allow_nan=False))
    if not as_json:
        _say(found, attack, choices)
    click.get_current_context().exit(1 if unreadable else 0)


def _attacked(
    target: Target,
    trials: Trials,
    folder: Path,
    snrs_db: list[float],
    attack: Attack,
    threads: int,
    first_window: bool,
) -> Attacked:
    """The trials attacked with a bar on stderr; what keeps a figure from being what it seems is said there too."""
    from aasist.cli.keyed import require_both_classes
    from aasist.cli.progress import counting
    from aasist.errors import ProtocolError
    from aasist.trials.adversary import attack_trials

    with counting(f"attacking {target.name}", len(trials)) as progress:
        attacked = attack_trials(
            target, trials, folder, snrs_db, attack, first_window=first_window, threads=threads, progress=progress
        )
    if attacked.reasons:
        row, reason = next(iter(attacked.reasons.items()))
        if len(attacked.reasons) == len(trials):
            raise ProtocolError(f"no trial could be scored; the first, {trials.ids[row]}: {reason}", path=trials.source)
        click.echo(
            f"aasist: {len(attacked.reasons)} of {len(trials)} trials could not be scored and take no part; the first, "
            f"{trials.ids[row]}: {reason}",
            err=True,
        )
        require_both_classes(trials.take(attacked.scored), trials.source, " that could be scored")
    if attacked.without_gradient:
        click.echo(
            f"aasist: {target.name}: {attacked.without_gradient} trials gave no gradient to follow: their scores stand as "
            "they were, which is no sign of robustness",
            err=True,
        )
    if target.box.hides_prosody:
        click.echo(
            f"aasist: {target.name} hears prosodic frames, through which no gradient goes: the attack is weaker than it "
            "could be, and the model may look more robust than it is",
            err=True,
        )
    return attacked


def _rows(attacked: Attacked, trials: Trials, attack: Attack, choices: Choices) -> list[StressRow]:
    from aasist.trials.adversary import rows_of

    return list(rows_of(attacked, trials, attack, choices))


def _values(
    target: Target, trials: Trials, attack: Attack, attacked: Attacked, rows: list[StressRow], choices: Choices
) -> dict[str, Any]:
    """What JSON says of one model."""
    names = ("bonafide", "spoof", "unscored", "eer", "interval", "change", "change_interval")
    snrs_db = [None, *attacked.by_snr]
    return {
        "model": {"name": target.name, "sha256": target.box.sha256},
        "attack": {"kind": attack.kind, "steps": attack.steps, "seed": attack.seed, "knows": "weights"},
        "trials": len(trials),
        "without_gradient": attacked.without_gradient,
        "rounds": choices.rounds,
        "level": choices.level,
        "rows": [
            {"snr_db": snr_db, **{name: getattr(row, name) for name in names}}
            for snr_db, row in zip(snrs_db, rows, strict=True)
        ],
        "unscored": {str(trials.ids[row]): reason for row, reason in attacked.reasons.items()},
    }


def _say(found: list[tuple[Target, list[StressRow]]], attack: Attack, choices: Choices) -> None:
    """The table, and what it is of."""
    from aasist.evaluation.tables import Table, change_text, percent

    limits = f" ({100 * choices.level:g} % interval)" if choices.rounds else ""
    cells = [
        (
            target.name,
            row.condition,
            f"{row.bonafide:,}",
            f"{row.spoof:,}",
            percent(row.eer, row.interval, unit=""),
            change_text(row),
        )
        for target, rows in found
        for row in rows
    ]
    headers = ("model", "attack", "bona fide", "spoofs", f"EER, %{limits}", f"change, points{limits}")
    click.echo(Table(headers, tuple(cells)).text())
    steps = "" if attack.kind == "fgsm" else f" of {attack.steps} steps"
    click.echo(
        f"\nWhite-box {attack.kind}{steps}: the attacker has the weights, knows the class and changes the samples that the "
        "model scores, every\ntrial for itself; dB: the recording's level above the largest change of a sample."
    )
