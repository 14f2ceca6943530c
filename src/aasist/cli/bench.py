"""``aasist bench``: how fast models run on this machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from aasist.cli.progress import Bar

if TYPE_CHECKING:
    from aasist.bench.contender import Contender
    from aasist.bench.contest import Contest
    from aasist.bench.entries import Entry, Field
    from aasist.bench.survey import Survey
    from aasist.errors import ModelError

RUNTIME_NAMES = ("onnxruntime", "openvino", "torch")
PACKAGES = ("onnxruntime", "openvino", "torch", "numpy")
STAGES = {
    "memory": "to load and run, each in a process of its own",
    "time": "rounds, all in turns",
    "roofline": "to profile",
}
"""Of a stage, what it goes through."""


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--runtime",
    "runtimes",
    type=click.Choice(RUNTIME_NAMES),
    multiple=True,
    help="May be repeated.  [default: all that are installed]",
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["fp32", "bf16", "fp16", "int8"]),
    multiple=True,
    help="May be repeated.  [default: all that the processor has]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Of a run. May be repeated.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 1024),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Windows of a run. May be repeated.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=20, show_default=True, help="In each, every one runs once."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Begin no further round after so many.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Checkpoint of aasist or aasist-l, for them and for the reference. May be repeated.  [default: published ones in the folder AASIST_REFERENCE, else seeded]",
)
@click.option(
    "--roofline/--no-roofline",
    default=True,
    show_default=True,
    help="Below the table: what each layer reaches of this machine's peaks.",
)
@click.option("--json", "as_json", is_flag=True, help="A list of objects instead of the table, and no roofline.")
def bench(
    models: tuple[str, ...],
    runtimes: tuple[str, ...],
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    batches: tuple[int, ...],
    rounds: int,
    seconds: float,
    weights: tuple[Path, ...],
    roofline: bool,
    as_json: bool,
) -> None:
    """Time MODEL on this machine, in every runtime and precision that it has, and say which to take.

    aasist bench efficient small --threads 1 --threads 4

    MODEL is aasist or aasist-l (the published architectures), a shipped name, a model file, or a checkpoint (extra:
    export); without any, the published and the shipped are timed. Times are of 64,600 samples of audio (4.04 s), on noise,
    in turns, after three rounds that do not count; the published architecture in eager PyTorch takes part where torch is
    installed. Memory is above what Python and NumPy take, in a process of its own. Run it on a quiet machine. Exit code
    1: something could not be timed; the others were.
    """
    from aasist.bench.contest import Limits, contest
    from aasist.bench.entries import Ways, entered
    from aasist.cli.timed import chosen
    from aasist.runtime.runtimes import installed
    from aasist.runtime.runtimes import precisions as precisions_of
    from aasist.runtime.threads import available_threads

    here = installed()
    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        found = chosen(models, weights, Path(folder), "torch" in here, progress.say)
        for sentence in found.left_out:
            progress.say(f"aasist: left out: {sentence}")
        ways = Ways(
            {name: precisions_of(name) for name in _runtimes(runtimes, here)},
            bool(runtimes),
            tuple(dict.fromkeys(precisions)),
            tuple(dict.fromkeys(threads)),
            tuple(dict.fromkeys(batches)),
            available_threads(),
        )
        field = entered(found.entries, ways)
        if not field.contenders:
            raise nothing_to_time(field)
        reference = found.weights.get("aasist")
        result = contest(
            field.contenders,
            Limits(rounds, seconds),
            with_reference="torch" in here,
            weights=None if reference is None else str(reference),
            moved=progress,
        )
        failures = field.refused | result.failures
        for contender, reason in failures.items():
            progress.say(f"aasist: {contender}: {reason}")
        if result.without_reference:
            progress.say(f"aasist: the published architecture was not timed: {result.without_reference}")
        if result.rows and result.rounds < rounds:
            progress.say(f"aasist: after {seconds:g} s, {result.rounds} of {rounds} rounds: --seconds allows more")
        survey = _survey(result, found.entries, progress) if roofline and not as_json and result.rows else None
    if as_json:
        click.echo("[" + ",\n ".join(json.dumps(row.to_dict(), allow_nan=False) for row in result.rows) + "]")
    else:
        _say(result, failures, survey)
    click.get_current_context().exit(1 if failures else 0)


def nothing_to_time(field: Field) -> ModelError:
    """The reasons, each once, with what it keeps from running."""
    from aasist.errors import ModelError

    kept: dict[str, list[str]] = {}
    for contender, reason in field.refused.items():
        kept.setdefault(reason, []).append(str(contender))
    reasons = "; ".join(f"{' and '.join(names)}: {reason}" for reason, names in kept.items())
    return ModelError("precision", f"nothing to time: {reasons or 'no runtime that is installed takes it'}")


def _runtimes(asked: tuple[str, ...], here: tuple[str, ...]) -> tuple[str, ...]:
    """Those asked for, or all that are installed."""
    from aasist.runtime.runtimes import require_installed

    for name in asked:
        require_installed(name)
    return tuple(dict.fromkeys(asked)) or here


def _survey(result: Contest, entries: list[Entry], progress: Progress) -> Survey:
    from aasist.bench.survey import survey

    found = survey(result.rows, entries, progress)
    for sentence in found.failures:
        progress.say(f"aasist: {sentence}")
    return found


def _say(result: Contest, failures: dict[Contender, str], survey: Survey | None) -> None:
    """The table, the roofline, what to take, and on what machine that was."""
    from aasist.bench.advice import advice
    from aasist.bench.machine import measured_by
    from aasist.bench.tables import facts, layers_table, times_table, unmeasured
    from aasist.runtime.models import DEFAULT_MODEL

    click.echo(times_table([*map(facts, result.rows), *map(unmeasured, failures)]).text())
    for threads, median in result.reference_ms.items():
        click.echo(f"\nThe published AASIST in eager PyTorch, {_threads(threads)}: {median:,.1f} ms a window.")
    for contender, layers in (survey.layers if survey is not None else {}).items():
        click.echo(f"\n{contender}, of one window:\n{layers_table(layers).text()}")
    for threads, peaks in (survey.peaks if survey is not None else {}).items():
        rates = ", ".join(f"{rate:,.0f} GFLOP/s in {precision}" for precision, rate in peaks.gflops.items())
        click.echo(f"\nPeaks of this machine, {_threads(threads)}: {rates}; {peaks.gigabytes:,.1f} GB/s copied.")
    line = advice(result.rows, DEFAULT_MODEL)
    if line:
        click.echo(f"\n{line[0].upper()}{line[1:]}.")
    click.echo(f"\n{result.rounds} rounds. {measured_by('aasist bench', PACKAGES)}")


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


class Progress:
    """A bar for each stage, and sentences above it; where stderr is no terminal, a line for each stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
            self._bar = None

    def __call__(self, stage: str, done: int, total: int, said: str) -> None:
        """So much of a stage is done."""
        if stage != self._stage:
            self.__exit__(None, None, None)
            self._stage, self._bar = stage, Bar(stage).__enter__()
            if self._bar.quiet:
                self.say(f"{stage}: {total} {STAGES.get(stage, '')}".rstrip())
        assert self._bar is not None
        self._bar.moved(done, total, said)

    def say(self, text: str) -> None:
        """One sentence on stderr."""
        (self._bar or Bar("")).say(text)
