"""``aasist prune``: a checkpoint without part of its encoder's work."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aasist.cli.options import threads_option
from aasist.cli.output import require_files
from aasist.cli.trainingdata import data_options, sources
from aasist.errors import MissingExtra

NOTE = "aasist.pruned"
"""Key of the checkpoint's metadata that says, as JSON, what was taken out of what, and by what."""

FEWEST_ROWS = 8
"""Windows that norms are told anew from together at the least: with one, what sets windows apart would be in no variance."""


@click.command()
@click.argument("model", metavar="CHECKPOINT|NAME")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The .safetensors file to write; one that is there is replaced.",
)
@click.option(
    "--remove",
    type=float,
    required=True,
    metavar="SHARE",
    help="Of the work (GFLOP) of the residual blocks, in (0, 1): at least so much goes.",
)
@click.option(
    "--importance",
    type=click.Choice(["taylor", "magnitude", "bn"]),
    default="taylor",
    show_default=True,
    help="taylor: what the loss of recordings would change by; magnitude: weights; bn: scales of batch norms, which "
    "weigh inner channels alone.",
)
@data_options("Hear windows of the training part of this corpus.", "hear")
@click.option(
    "--windows",
    type=click.IntRange(min=2, max=4096),
    default=256,
    show_default=True,
    help="How many are heard, of as many recordings, half of them bona fide.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Importance is told anew for each, and each removes an equal part.",
)
@click.option(
    "--multiple",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Widths become multiples of this; 1 takes single channels.",
)
@click.option("--recalibrate", is_flag=True, help="Tell means and variances of the batch norms anew, on those windows.")
@click.option("--name", help="Name in the file.  [default: the architecture's, with -pruned-PERCENT behind it]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random.")
@threads_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def prune(
    model: str,
    output: Path,
    remove: float,
    importance: str,
    corpus: str | None,
    root: Path | None,
    data: tuple[str, ...],
    windows: int,
    rounds: int,
    multiple: int,
    recalibrate: bool,
    name: str | None,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Take whole channels out of the encoder of CHECKPOINT (.safetensors of ours, a published .pth, a shipped NAME).

    aasist prune efficient -o thin.safetensors --remove 0.5 --data train.tsv

    Those leave first that matter least for the work they cost, through the residual sums too. What comes out is a smaller
    model that has to learn again: aasist train pruned --from thin.safetensors --teacher efficient --data train.tsv. Its
    scores are not calibrated.
    """
    if not 0 < remove < 1:
        raise click.UsageError(f"--remove must be a share above 0 and below 1, such as 0.5, got {remove:g}")
    named = sources(corpus, root, data, (), ())
    if (importance == "taylor" or recalibrate) and not named:
        which = "--importance taylor" if importance == "taylor" else "--recalibrate"
        others = "; --importance magnitude and bn need none" if importance == "taylor" else ""
        raise click.UsageError(f"{which} hears recordings: name some (--data, or --corpus and --root){others}")
    source = checkpoint_of(model)
    if output.suffix != ".safetensors":
        raise click.UsageError(f"a checkpoint is a .safetensors file, got -o {output}")
    require_files((output, "-o"), inputs=(source,))
    try:
        from aasist.cli.pruning import heard, measure_of, told
        from aasist.export.prune import prune as pruned
        from aasist.model import checkpoint
        from aasist.model.whitebox import use_threads
    except ModuleNotFoundError as error:
        raise MissingExtra("pruning", "train") from error
    from aasist.runtime.threads import available_threads

    threads = threads or available_threads()
    use_threads(threads)
    loaded = checkpoint.load(source)
    material = None
    if importance == "taylor" or recalibrate:
        material = heard(named["data.train"], loaded, windows, seed=seed, threads=threads)
    thin = pruned(
        loaded,
        remove,
        measure_of(importance, material),
        relative=importance != "taylor",
        multiple=multiple,
        rounds=rounds,
    )
    if recalibrate and material is not None:
        from aasist.export.importance import rows_at_once
        from aasist.training.windows import renormed

        renormed(thin.model, material.windows, rows=max(rows_at_once(loaded), FEWEST_ROWS), seed=seed)
    facts = {
        "from": {"name": loaded.architecture.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()},
        "remove": remove,
        "importance": importance,
        "windows": 0 if material is None else len(material.windows),
        "seed": seed,
        "rounds": rounds,
        "multiple": multiple,
        "recalibrated": recalibrate,
    }
    named_so = name or f"{loaded.architecture.name}-pruned-{100 * remove:g}"
    thin.model.architecture = replace(thin.model.architecture, name=named_so)
    checkpoint.save(thin.model, output, **{NOTE: json.dumps(facts, sort_keys=True)})
    said = told(loaded, thin)
    if as_json:
        click.echo(json.dumps({"output": str(output), "name": named_so, **facts, **said}))
    else:
        say(output, said)


def checkpoint_of(model: str) -> Path:
    """The file of a checkpoint, or of the weights behind a shipped name."""
    from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_checkpoint

    if model in shipped():
        return shipped_checkpoint(model)
    path = Path(model)
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise click.UsageError(
            f"{model}: channels are taken out of a checkpoint ({' or '.join(CHECKPOINT_SUFFIXES)}) or a shipped model "
            f"({', '.join(shipped())}): an ONNX file no longer has all that is trained"
        )
    return path


def say(output: Path, said: dict[str, Any]) -> None:
    """The same as a table, and a sentence."""
    from aasist.evaluation.tables import Table

    rows = [(place, *map(str, widths)) for place, widths in said["channels"].items()]
    click.echo(Table(("channels", "before", "after"), tuple(rows)).text())
    gflop = [said["encoder_gflop"], *([said["gflop"]] if "gflop" in said else [])]
    work = ["{:.3f} to {:.3f} GFLOP a window".format(*pair) for pair in gflop]
    whole = f" (in all {work[1]})" if work[1:] else ""
    click.echo(
        f"\n{output}: {said['removed']:.1%} of the encoder's work is gone, {work[0]}{whole}; "
        "{:,} to {:,} weights".format(*said["parameters"])
    )
