"""What a live stream takes by the hop, and how many keep up on this machine; writes docs/stream-table.md.

    python benchmarks/stream.py [--model small] [--hops 600] [--streams 10 25 50] [--seconds 60] [--threads 2] [--piece 0.02] [--print]

First one stream on one thread, half a second a push as fast as it goes: the time of a push. Then N streams live, their packets due
at the pace of the clock and spread evenly over it, served by as many threads in the order in which they are due: how late the
last of a packet's work was done. A stream falls behind where the worst of the second half is later than that of the first and above
a hop. Speech is that of the human examples at 16 kHz, without pauses between sentences but their own: no call is as busy.
"""

from __future__ import annotations

import argparse
import heapq
import threading
import time
from pathlib import Path

import numpy as np

from aasist.evaluation.tables import Table
from aasist.runtime.course import HOP_SAMPLES
from aasist.runtime.detector import Detector
from aasist.runtime.stream import STREAM_MODEL, StreamDetector
from aasist.session import SAMPLE_RATE
from command import speech
from footer import as_given, footer

TABLE = Path(__file__).parents[1] / "docs" / "stream-table.md"
HOP_SECONDS = HOP_SAMPLES / SAMPLE_RATE


def milliseconds(seconds: np.ndarray, percentile: float) -> str:
    return f"{1e3 * float(np.percentile(seconds, percentile)):.1f}"


def of_hops(detector: Detector, hops: int) -> np.ndarray:
    """Seconds that each push of half a second takes, behind the first ten of them: there is no whole window before."""
    samples, stream, taken = speech(), StreamDetector(detector), []
    for hop in range(hops + 10):
        piece = np.take(samples, np.arange(hop * HOP_SAMPLES, (hop + 1) * HOP_SAMPLES), mode="wrap")
        start = time.perf_counter()
        stream.push(piece)
        taken.append(time.perf_counter() - start)
    return np.asarray(taken[10:])


def live(
    detector: Detector, count: int, seconds: float, threads: int, piece_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """When each packet was due (s from the start) and how late it was done, of ``count`` streams."""
    samples = speech()
    size = round(piece_seconds * SAMPLE_RATE)
    streams = [StreamDetector(detector) for _ in range(count)]
    # Spread over a hop, or all of them would score at once.
    waiting = [(HOP_SECONDS * number / count, number, 0) for number in range(count)]
    heapq.heapify(waiting)
    lock, done, failed = threading.Lock(), [], []
    start = time.perf_counter() + 0.1

    def serve() -> None:
        try:
            while True:
                with lock:
                    if not waiting:
                        return
                    due, number, packet = heapq.heappop(waiting)
                time.sleep(max(0.0, start + due - time.perf_counter()))
                places = np.arange(packet * size, (packet + 1) * size) + number * SAMPLE_RATE
                streams[number].push(np.take(samples, places, mode="wrap"))
                late = time.perf_counter() - start - due
                with lock:
                    done.append((due, late))
                    if due + piece_seconds < seconds:
                        heapq.heappush(waiting, (due + piece_seconds, number, packet + 1))
        except Exception as error:
            failed.append(error)
            raise

    workers = [threading.Thread(target=serve) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]
    due, late = np.asarray(done).T
    return due, late


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=STREAM_MODEL)
    parser.add_argument("--hops", type=int, default=600)
    parser.add_argument("--streams", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--piece", type=float, default=0.02)
    parser.add_argument("--print", action="store_true", help="Print the table and leave the file as it is.")
    given = parser.parse_args()

    detector = Detector(given.model, threads=1)
    taken = of_hops(detector, given.hops)
    rows = [("one, as fast as it goes", "1", *(milliseconds(taken, at) for at in (50, 99, 100)), "-")]
    for count in given.streams:
        due, late = live(detector, count, given.seconds, given.threads, given.piece)
        halves = [float(late[half].max()) for half in (due < given.seconds / 2, due >= given.seconds / 2)]
        behind = halves[1] > max(halves[0], HOP_SECONDS)
        cells = (milliseconds(late, at) for at in (50, 99, 100))
        rows.append((f"{count} live", str(given.threads), *cells, "falls behind" if behind else "keeps up"))
    headers = ("streams", "threads", "p50, ms", "p99, ms", "worst, ms", "")
    words = as_given(parser, given, but=("print",))
    text = (
        f"{Table(headers, tuple(rows)).markdown()}\n`{given.model}`, a hop of {HOP_SECONDS:g} s. One: time of a push of a hop, "
        f"{given.hops} of them. Live: how late packets of {1e3 * given.piece:g} ms were done, over {given.seconds:g} s. "
        f"{footer('stream.py', 'onnxruntime', arguments=words)}\n"
    )
    print(text)
    if not given.print:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
