"""``aasist fuse``: the score files of several models to one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.options import FILE, KeyOptions, key_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aasist.evaluation.fusion import Fusion
    from aasist.evaluation.tally import Float64
    from aasist.trial import Booleans

MOST_BYTES = 1 << 20
"""Of a file of weights."""


@click.command()
@click.argument("scores", nargs=-1, required=True, type=FILE)
@key_options
@click.option("--weights", metavar="W1,W2,...", help="Weight of each file, by their ratio.  [default: equal]")
@click.option("--fit", is_flag=True, help="Find weights and offset with the least Cllr on these trials: take dev.")
@click.option("--fusion", "given", type=FILE, help="Take weights and offset from this file, which --save wrote.")
@click.option("--save", type=FILE, help="Write weights and offset to this file (JSON), for other trials.")
@click.option("-o", "--output", type=FILE, help="The fused scores (TSV), for aasist metrics, compare and calibrate.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def fuse(
    scores: tuple[Path, ...],
    key: KeyOptions,
    weights: str | None,
    fit: bool,
    given: Path | None,
    save: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Average the scores of several models on the same trials, or weigh them by a fit.

    aasist fuse A.tsv B.tsv -o fused.tsv takes the mean of the llr: the files should be calibrated, or of one scale. A fit
    (logistic regression, both classes weighing one half) needs no such thing, and its result is a calibrated llr:
    aasist fuse --fit DEV_A DEV_B --save ab.json, then aasist fuse EVAL_A EVAL_B --fusion ab.json -o fused.tsv, with the
    models in the same order. Where the key is known, in the first file or by --protocol, EER and Cllr are given of each
    file and of the whole; after --fit they are of the trials that it was fitted to, and flatter.
    """
    from aasist.cli.keyed import keyed_by_all, shared_by_all
    from aasist.cli.output import require_files
    from aasist.errors import ProtocolError
    from aasist.evaluation.fusion import fit_fusion, mean_of

    if len(scores) < 2:
        raise click.UsageError(f"give two score files or more, of different models: there is only {scores[0]}")
    if (weights is not None) + fit + (given is not None) > 1:
        raise click.UsageError("--weights, --fit and --fusion exclude each other")
    if output is None and save is None and not fit:
        raise click.UsageError("where to? Give -o")
    require_files((output, "-o"), (save, "--save"), inputs=(*scores, key.protocol, given))
    trials, values = (keyed_by_all if fit else shared_by_all)(scores, key)
    labels = trials.bonafide
    try:
        if fit:
            assert labels is not None
            fusion = fit_fusion([of[labels] for of in values], [of[~labels] for of in values])
        elif given is not None:
            fusion = _read(given)
        else:
            fusion = mean_of(_numbers(weights, len(scores)))
        fused = fusion.of(values)
    except ValueError as error:
        if weights is not None:
            raise click.UsageError(f"--weights: {error}") from error
        raise ProtocolError(str(error), path=given or scores[0]) from error
    for file, weight in zip(scores, fusion.weights, strict=True):
        if weight < 0:
            click.echo(
                f"aasist: caution: the weight of {file} is negative: given the others it speaks for the other class; are "
                "its scores negated?",
                err=True,
            )
    if save is not None:
        from aasist import files

        files.write(save, f"{fusion.to_json()}\n".encode())
    if output is not None:
        from aasist.protocol.scores import write_scores

        write_scores(output, trials, fused, "tsv")
    _say(scores, fusion, [*values, fused], labels, as_json=as_json)


def _numbers(weights: str | None, count: int) -> list[float]:
    """Weights of so many files, as they were given; all alike where they were not. Raises ``ValueError``."""
    if weights is None:
        return [1.0] * count
    numbers = [float(word) for word in weights.split(",")]
    if len(numbers) != count:
        raise ValueError(f"{count} score files, but {len(numbers)} weights")
    return numbers


def _read(path: Path) -> Fusion:
    from aasist.errors import ProtocolError
    from aasist.evaluation.fusion import Fusion

    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
        return Fusion.from_json(text.decode())
    except OSError as error:
        raise ProtocolError(f"cannot be read: {error.strerror or error}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not weights that --save wrote: {error}", path=path) from error


def _say(
    scores: Sequence[Path], fusion: Fusion, values: Sequence[Float64], labels: Booleans | None, *, as_json: bool
) -> None:
    """Weights, and with a key of both classes the figures of each file and of the whole, which comes last."""
    from aasist.evaluation.calibration import cllr, min_cllr
    from aasist.evaluation.det import eer
    from aasist.evaluation.tables import Table
    from aasist.evaluation.tally import Tally

    figures: list[dict[str, float]] = [{} for _ in values]
    if labels is not None and labels.any() and not labels.all():
        tallies = [Tally.of(of[labels], of[~labels]) for of in values]
        figures = [{"eer": eer.of(t), "cllr": cllr.of(t), "min_cllr": min_cllr.of(t)} for t in tallies]
    *each, whole = figures
    if as_json:
        systems = [
            {"scores": str(file), "weight": weight, **of}
            for file, weight, of in zip(scores, fusion.weights, each, strict=True)
        ]
        found = {"trials": len(values[0]), "offset": fusion.offset, "systems": systems, "fused": whole}
        click.echo(json.dumps(found, allow_nan=False))
        return
    names = [*map(str, scores), "fused"]
    weights = [*(f"{weight:.4g}" for weight in fusion.weights), f"{fusion.offset:+.4g}"]
    head = ("scores", "weight", *(("EER", "Cllr", "min Cllr") if whole else ()))
    rows = tuple(
        (name, weight, *((f"{100 * of['eer']:.2f} %", f"{of['cllr']:.3f}", f"{of['min_cllr']:.3f}") if of else ()))
        for name, weight, of in zip(names, weights, figures, strict=True)
    )
    click.echo(Table(head, rows).text())
    click.echo(f"{len(values[0]):,} trials; the weight of the whole is its offset")
