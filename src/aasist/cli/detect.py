"""``aasist detect``: recordings to verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.cli.elsewhere import KEY_VARIABLE, elsewhere, refuse_theirs
from aasist.cli.find import STANDARD_INPUT, Found, find
from aasist.cli.options import MODEL_HELP, RuntimeOptions, runtime_options, threads_option
from aasist.cli.output import JsonLines, require_output
from aasist.errors import AasistError, AudioError

if TYPE_CHECKING:
    from aasist.cli.plot_explanation import WindowAttention
    from aasist.cli.rows import Rows
    from aasist.runtime.detector import Detector
    from aasist.runtime.pipeline import Pipeline
    from aasist.runtime.remote import RemoteDetector
    from aasist.runtime.verdict import Verdict
    from aasist.trials.explanation import Explanation


class Threshold(click.ParamType[float | str]):
    """A finite number, or the name of an operating point, which the model must know."""

    name = "NUMBER|NAME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            number = float(str(value))
        except ValueError:
            return str(value)
        if not math.isfinite(number):
            self.fail(f"must be a finite number, got {number}", param, ctx)
        return number


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of the table.")
@click.option("--timeline", is_flag=True, help="Put the raw windows into the JSON objects too.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write the JSON lines to this file.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw waveform, spectrogram and score along time, one PNG a recording (extra: plots).",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Find the spans and bands that decided: in the table, the JSON objects and the pictures. Takes seconds more.",
)
@click.option(
    "--model",
    default="efficient",
    show_default=True,
    metavar="NAME|PATH",
    help=f"{MODEL_HELP} cascade: small, and efficient where it is not sure.",
)
@runtime_options
@click.option(
    "--threshold",
    type=Threshold(),
    help="On llr: below it is a spoof. A number, or an operating point of the model, such as eer or miss-1 (aasist models "
    "names them).  [default: the model's, 0]",
)
@threads_option
@click.option("--channel", type=click.IntRange(min=0), help="One channel, from 0.  [default: the mean of all]")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=43_200.0,
    show_default=True,
    help="Refuse longer recordings.",
)
@click.option(
    "--max-bytes", type=click.IntRange(min=1), default=4 << 30, show_default=True, help="Refuse larger files."
)
@click.option("--server", metavar="URL", help="Have them judged by an 'aasist serve' there instead of here.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Holds the API key for --server.  [default: what {KEY_VARIABLE} is set to]",
)
def detect(
    paths: tuple[str, ...],
    as_json: bool,
    timeline: bool,
    output: Path | None,
    plot: Path | None,
    explain: bool,
    model: str,
    running: RuntimeOptions,
    threshold: float | str | None,
    threads: int | None,
    channel: int | None,
    max_seconds: float,
    max_bytes: int,
    server: str | None,
    key_file: Path | None,
) -> None:
    """Judge recordings: files, folders (recursively), patterns, or - for standard input.

    The score is the calibrated probability that the speech is real: 1 = recorded from a human, 0 = made or altered by
    a machine. Exit code 0: every recording was judged; 1: some could not be; 2: wrong usage; 130, 141, 143: stopped by
    Ctrl-C, by a reader of the output who left, by SIGTERM; what was done for -o is then kept in a file with .part behind
    its name. The verdicts themselves never change the exit code.
    """
    check(paths, output, model, timeline and not as_json, {"--max-seconds": max_seconds})
    refuse_theirs(click.get_current_context(), server, key_file)
    from aasist.audio.read import ReadLimits
    from aasist.cli.rows import Rows
    from aasist.runtime.verdict import ModelIdentity, unjudged

    limits = ReadLimits(max_seconds=max_seconds, max_bytes=max_bytes)
    failed = 0
    with ExitStack() as stack:
        lines = stack.enter_context(JsonLines(output)) if output else None
        rows = stack.enter_context(Rows(as_json=as_json, timeline=timeline))
        detector: Detector | Pipeline | RemoteDetector | AasistError
        try:
            if plot is not None:
                from aasist.cli.plot import prepare_folder

                prepare_folder(plot)
            options: dict[str, Any] = {
                "threshold": threshold,
                "threads": threads,
                "channel": channel,
                **running.given(),
            }
            detector = (
                elsewhere(server, key_file, limits, lambda line: rows.complain(f"aasist: {line}"))
                if server is not None
                else opened(model, explain, limits=limits, **options)
            )
        except AasistError as error:
            refuse_unknown_point(error)
            # No recording can be judged: it is said once for people, and for each recording in the objects.
            rows.complain(f"aasist: {error.message}")
            detector = error
        for number, (name, source) in enumerate(find(paths, max_bytes)):
            if isinstance(detector, AasistError):
                identity = ModelIdentity(server or model, None, None)
                verdict = unjudged(
                    name, detector, threshold=threshold if isinstance(threshold, float) else 0.0, model=identity
                )
            else:
                verdict = judge(detector, name, source, rows)
                if verdict.error is not None:
                    rows.complain(f"aasist: {verdict.path}: {verdict.error.message}")
            failed += verdict.error is not None
            if explain:
                verdict, complete = explained(detector, verdict, source, rows)
                failed += not complete
            # Before it is shown: whoever reads the rows may have seen enough.
            if lines is not None:
                lines.write(verdict.to_json(timeline=timeline))
            if as_json or not isinstance(detector, AasistError):
                rows.show(verdict)
            if explain and not as_json:
                show_in_words(verdict)
            if plot is not None:
                failed += not drawn(detector, verdict, source, plot, number, rows)
            if not isinstance(source, str | AudioError):
                source.close()
    click.get_current_context().exit(1 if failed else 0)


def opened(model: str, explain: bool, **options: Any) -> Detector | Pipeline:
    """A model, or the cascade of the shipped ones, with the options of `aasist.runtime.detector.Detector`."""
    from aasist.runtime.models import CASCADE
    from aasist.runtime.pipeline import judge_of

    if explain and model == CASCADE:
        raise click.UsageError("--explain tells what decided in one model: name it in the place of cascade")
    return judge_of(model, **options)


def refuse_unknown_point(error: AasistError) -> None:
    """``click.UsageError`` where --threshold named an operating point that the model does not have."""
    if error.code == "unknown_point":
        raise click.UsageError(error.message) from error


def check(
    paths: tuple[str, ...],
    output: Path | None,
    model: str,
    timeline_in_output: bool,
    numbers: Mapping[str, float | None],
) -> None:
    """Raise ``click.UsageError`` for arguments that contradict each other or would destroy a recording or a model."""
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise click.UsageError(f"{option} must be a finite number, got {number}")
    if paths.count(STANDARD_INPUT) > 1:
        raise click.UsageError("standard input (-) can be judged once")
    if output is None:
        if timeline_in_output:
            raise click.UsageError("--timeline adds to the JSON objects: give --json or -o too")
        return
    require_output(output, paths, model)


def judge(detector: Detector | Pipeline | RemoteDetector, name: str, source: Found, rows: Rows) -> Verdict:
    """One recording's verdict under its own name; an error becomes part of it."""
    from aasist.runtime.verdict import unjudged

    try:
        if isinstance(source, AudioError):
            raise source
        with rows.progress(name) as report:
            return replace(detector.detect(source, progress=report), path=name)
    except AasistError as error:
        return unjudged(name, error, threshold=detector.threshold, model=detector.model)


def explained(
    detector: Detector | Pipeline | RemoteDetector | AasistError, verdict: Verdict, source: Found, rows: Rows
) -> tuple[Verdict, bool]:
    """The verdict together with what decided, and False where that could not be found; it is said on stderr then."""
    from aasist.runtime.detector import Detector
    from aasist.trials.explanation import ExplainedVerdict, explain

    if verdict.error is not None or isinstance(source, AudioError) or not isinstance(detector, Detector):
        return ExplainedVerdict.of(verdict, None), True
    try:
        with rows.progress(f"{verdict.path}: what decided") as report:
            return ExplainedVerdict.of(verdict, explain(detector, source, progress=report)), True
    except AasistError as error:
        rows.complain(f"aasist: {verdict.path}: could not be explained: {error.message}")
        return ExplainedVerdict.of(verdict, None), False


def show_in_words(verdict: Verdict) -> None:
    """Print what decided, if anything did, below the verdict's row."""
    explanation = explanation_of(verdict)
    if explanation is not None and (words := explanation.in_words()):
        click.echo(f"{'':9} {words}")


def explanation_of(verdict: Verdict) -> Explanation | None:
    """What decided, where the verdict was explained."""
    explanation: Explanation | None = getattr(verdict, "explanation", None)
    return explanation


def drawn(
    detector: Detector | Pipeline | RemoteDetector | AasistError,
    verdict: Verdict,
    source: Found,
    folder: Path,
    number: int,
    rows: Rows,
) -> bool:
    """Draw a recording if it was judged; False where that failed, which is said on stderr; where it is drawn, below the table."""
    if verdict.error is not None or isinstance(source, AudioError) or isinstance(detector, AasistError):
        return True
    from aasist.cli.plot import draw
    from aasist.runtime.detector import Detector
    from aasist.runtime.remote import RemoteDetector

    assert not isinstance(detector, RemoteDetector)  # refused with --plot

    explanation = explanation_of(verdict)
    try:
        attentions: tuple[WindowAttention, ...] = ()
        if explanation is not None and isinstance(detector, Detector):
            from aasist.cli.plot_explanation import attention_of

            attentions = attention_of(detector, source)
        picture = draw(
            verdict,
            source,
            folder,
            number,
            channel=detector.channel,
            limits=detector.limits,
            explanation=explanation,
            attentions=attentions,
        )
    except (AasistError, OSError) as error:
        rows.complain(f"aasist: {verdict.path}: could not be drawn: {error}")
        return False
    rows.later(f"{verdict.path}: drawn in {picture}")
    return True
