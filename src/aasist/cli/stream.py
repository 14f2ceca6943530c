"""``aasist stream``: a call to events, while it lasts."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

import click

from aasist.cli.find import STANDARD_INPUT
from aasist.cli.options import MODEL_HELP, RuntimeOptions, runtime_options
from aasist.errors import AudioError

if TYPE_CHECKING:
    from aasist.runtime.detector import Detector
    from aasist.runtime.events import Event

PIECE_BYTES = 1 << 16
"""Read at a time at the most; a pipe gives what it has."""


@click.command()
@click.argument("source", metavar="-|PATH")
@click.option("--sample-rate", type=click.IntRange(4_000, 192_000), help="Of raw PCM on standard input, in Hz.")
@click.option(
    "--encoding",
    # Those of aasist.audio.pcm, which --help is too quick to import.
    type=click.Choice(["pcm16", "pcm24", "pcm32", "pcm8", "float32", "float64", "mulaw", "alaw"]),
    help="Of raw PCM, least byte first.  [default: pcm16]",
)
@click.option("--channels", type=click.IntRange(1, 32), help="Of raw PCM, interleaved.  [default: 1]")
@click.option("--channel", type=click.IntRange(min=0), help="One channel, from 0.  [default: the mean of all]")
@click.option("--model", default="small", show_default=True, metavar="NAME|PATH", help=MODEL_HELP)
@runtime_options
@click.option("--threshold", type=float, help="On llr: below it is a spoof.  [default: the model's, 0]")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def stream(
    source: str,
    sample_rate: int | None,
    encoding: str | None,
    channels: int | None,
    channel: int | None,
    model: str,
    running: RuntimeOptions,
    threshold: float | None,
    threads: int,
) -> None:
    """Watch a call: WAV, or raw PCM with --sample-rate, from standard input; one JSON event a line as it comes.

    Given a PATH instead, a recording is walked on the same grid, to the same score. The last event, final, is the verdict on
    the whole; on Ctrl-C or SIGTERM it is, of standard input, on what was heard by then. Exit code 0: the stream was judged; 1: it could not be; 2: wrong
    usage; 130, 141, 143: stopped by Ctrl-C, by a reader of the events who left, by SIGTERM.
    """
    raw = sample_rate is not None
    if source != STANDARD_INPUT and (raw or encoding or channels):
        raise click.UsageError("--sample-rate, --encoding and --channels are for raw PCM on standard input (-)")
    if (encoding or channels) and not raw:
        raise click.UsageError("raw PCM needs --sample-rate too; without all three, WAV is read by its header")
    if source == STANDARD_INPUT and (sys.stdin is None or sys.stdin.buffer.isatty()):
        raise AudioError("empty", "standard input is closed or a terminal: pipe a call into it")
    from aasist.runtime.detector import Detector
    from aasist.runtime.models import CASCADE

    if model == CASCADE:
        raise click.UsageError(
            "the cascade judges whole recordings (aasist detect, aasist serve): name one model for a stream"
        )
    try:
        detector = Detector(model, threshold=threshold, threads=threads, channel=channel, **running.given())
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if source == STANDARD_INPUT:
        watch(sys.stdin.buffer, detector, sample_rate, encoding or "pcm16", channels or 1)
        return
    from aasist.runtime.stream import walk

    try:
        for event in walk(source, detector):
            say(event)
    except AudioError as error:
        raise AudioError(error.code, f"{source}: {error.message}") from error


def watch(file: BinaryIO, detector: Detector, sample_rate: int | None, encoding: str, channels: int) -> None:
    """Say the events of a pipe while it lasts, WAV where ``sample_rate`` is None; raises what stopped it, behind the verdict."""
    from aasist.audio.pcm import PcmDecoder, WavHeader
    from aasist.runtime.stream import StreamDetector

    left = None
    if sample_rate is None:
        header = WavHeader(file)
        sample_rate, encoding, channels, left = header.sample_rate, header.encoding, header.channels, header.bytes
    decoder = PcmDecoder(encoding, channels)
    detector_of_stream = StreamDetector(detector, sample_rate=sample_rate, name=STANDARD_INPUT)
    with Stops() as stops:
        count = 0
        for data in pieces(file, stops, left):
            count += len(data)
            for event in detector_of_stream.push(decoder.push(data)):
                say(event)
        if not count:
            stops.give_way()
            raise AudioError("empty", "no samples came")
        final = detector_of_stream.finish()
        for event in (*final.closing, final):
            say(event)
        stops.give_way()


def pieces(file: BinaryIO, stops: Stops, left: int | None) -> Iterator[bytes]:
    """What comes, as it comes, until the end, a stop, or until ``left`` bytes were read."""
    read = getattr(file, "read1", file.read)
    while left is None or left > 0:
        most = PIECE_BYTES if left is None else min(PIECE_BYTES, left)
        data = stops.waiting(lambda: read(most))  # noqa: B023  # it is called at once
        if not data:
            return
        if left is not None:
            left -= len(data)
        yield data


def say(event: Event) -> None:
    """One line, at once."""
    click.echo(event.to_json())
    sys.stdout.flush()


class Stopped(Exception):
    """Ctrl-C or SIGTERM came while the stream was waited for."""


class Stops:
    """Ctrl-C and SIGTERM end the reading and not the work on what was read, so that the verdict can be given."""

    def __init__(self) -> None:
        self._heeding = False
        self._came: int | None = None

    def __enter__(self) -> Stops:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None:  # the second time it is meant at once
            self.__exit__()
            signal.raise_signal(number)
        self._came = number
        if self._heeding:
            raise Stopped

    def waiting(self, read: Callable[[], bytes]) -> bytes:
        """What ``read`` gives; nothing once a stop came, which is heard while it waits."""
        try:
            self._heeding = True
            return b"" if self._came is not None else read()
        except Stopped:
            return b""
        finally:
            self._heeding = False

    def give_way(self) -> None:
        """Let a stop that came do what it does without us."""
        if self._came is not None:
            self.__exit__()
            signal.raise_signal(self._came)
