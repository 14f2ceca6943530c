"""``aasist corpus try``: what an engine makes of one recording, or of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.errors import AasistError

if TYPE_CHECKING:
    from aasist.corpus.audition import Heard
    from aasist.corpus.engine import Engine

FILE = click.Path(path_type=Path)


@click.command("try")
@click.argument("name", metavar="ENGINE")
@click.argument("recording", required=False, type=FILE)
@click.option("-o", "--out", type=FILE, required=True, help="The result, as it comes: WAV or FLAC.")
@click.option("--engine", "files", multiple=True, metavar="FILE.py", help="Engines of your own. May be repeated.")
@click.option("--text", help="What a text-to-speech engine says.  [default: a sentence of ours]")
@click.option("--voice", metavar="NAME", help="In which voice.  [default: its first]")
def audition(
    name: str, recording: Path | None, out: Path, files: tuple[str, ...], text: str | None, voice: str | None
) -> None:
    """Try an engine on one recording, or, where it is text-to-speech, on a text.

    aasist corpus try peaks recording.wav -o peaks.wav --engine peaks.py

    aasist corpus try espeak -o said.wav --text "Good morning."

    The result is written as the engine returns it: at its own rate, matched to nothing. Where an engine of your own fails,
    the whole traceback is shown.
    """
    from aasist.corpus.audition import FORMATS, write

    if out.suffix.lower() not in FORMATS:
        raise click.UsageError(f"-o must end in {' or '.join(FORMATS)}, got {out}")
    try:
        if recording is not None and out.exists() and out.samefile(recording):
            raise click.UsageError(f"{out} is the recording: it would be replaced")
    except OSError:  # the recording is not there: found in a moment
        pass
    engine = named(name, files)
    heard = tried(engine, recording, text, voice)
    write(out, heard)
    say(out, heard)


def named(name: str, files: tuple[str, ...]) -> Engine:
    """The engine ``name``, which can run; a file of the user's that cannot be loaded is shown with its traceback."""
    from aasist.corpus.catalogue import Places, engines, kind_of, runnable
    from aasist.corpus.engine import Engine
    from aasist.corpus.faults import trace

    try:
        known = engines(Places(files))
    except AasistError as error:
        if isinstance(error.__cause__, Exception):
            click.echo(trace(error.__cause__), err=True, nl=False)
        raise
    kind = kind_of(known[name]) if name in known else Engine
    return runnable(known, kind, (name,), "ENGINE")[name]


def tried(engine: Engine, recording: Path | None, text: str | None, voice: str | None) -> Heard:
    """What the engine makes; the traceback of a fault in a file of the user's goes to stderr."""
    from aasist.corpus.audition import copied, said
    from aasist.corpus.engine import Copier, EngineError, Speaker
    from aasist.corpus.faults import in_words, is_of_file, trace

    if isinstance(engine, Copier):
        if recording is None:
            raise click.UsageError(f"{engine.name} copies recordings: of which? Name one behind it")
        if text is not None or voice is not None:
            raise click.UsageError(f"{engine.name} copies recordings: --text and --voice are for text-to-speech")
    elif recording is not None:
        raise click.UsageError(f"{engine.name} says texts: leave {recording} out (--text and --voice say what and how)")
    try:
        if isinstance(engine, Copier):
            return copied(engine, recording or "")
        assert isinstance(engine, Speaker)
        return said(engine, text, voice)
    except Exception as error:  # of an engine, which may be anybody's
        if is_of_file(engine) and not isinstance(error, AasistError):
            click.echo(trace(error), err=True, nl=False)
        if isinstance(error, AasistError):
            raise
        raise EngineError(f"{engine.name} failed: {in_words(error)}") from error


def say(out: Path, heard: Heard) -> None:
    """A line: length, rate and level; what was said, or how long the recording is; and what a build would make of it."""
    seconds = len(heard.samples) / heard.rate_hz
    of = f"; {heard.seconds:.2f} s were copied"
    if heard.voice is not None:
        of = f"; {heard.voice.name} ({heard.voice.language}): {heard.text}"
    click.echo(
        f"{out}: {seconds:.2f} s at {heard.rate_hz:,} Hz, {heard.level_dbfs:.1f} dBFS, peak {heard.peak:.2f}{of}"
    )
    if heard.peak > 1:
        click.echo("aasist: it is beyond full scale: a build turns it down, players cut it off", err=True)
