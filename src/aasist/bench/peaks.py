"""What the machine could do at best: multiplications by a large matrix product, bytes by a large copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from aasist.bench.child import Say, asked

SIDE = 2048
"""Of the matrices: 50 MB in all and 17 GFLOP a product, so that neither filling nor starting matters."""
COPIED_BYTES = 256 << 20
"""Far more than any cache holds."""
SECONDS = 1.5
"""For each peak: the best of all that fits into it, and of two at the least."""
SILENCE_SECONDS = 120.0

# Every library of matrix products that NumPy comes with reads its own; none can be told later.
THREADS_OF = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
BY_OPENVINO = ("fp32", "bf16")
"""Precisions whose products it measures too; NumPy's are in fp32 alone."""


@dataclass(frozen=True)
class Peaks:
    """Of one machine on so many threads."""

    threads: int
    gflops: dict[str, float]
    """Precision -> 10 ** 9 multiplications and additions a second; a precision that no product here measures is missing."""
    gigabytes: float
    """10 ** 9 bytes a second, read and written."""

    def at_most(self, precision: str, gflop: float, megabytes: float) -> float | None:
        """Milliseconds that so much work takes at the least: the roofline. None where the precision has no peak."""
        peak = self.gflops.get("fp32" if precision == "fp16" else precision)  # fp16 is how weights are stored alone
        return None if peak is None else 1000 * max(gflop / peak, megabytes / 1000 / self.gigabytes)


def peaks(threads: int, precisions: list[str], runtimes: list[str]) -> Peaks:
    """Measured in a process of its own, which is told its threads before it begins; `AasistError` where it fails."""
    found = asked(
        "aasist.bench.peaks:measure",
        {"threads": threads, "precisions": precisions, "with_openvino": "openvino" in runtimes},
        silence_seconds=SILENCE_SECONDS,
        environment=dict.fromkeys(THREADS_OF, str(threads)),
    )
    return Peaks(threads, found["gflops"], found["gigabytes"])


def measure(say: Say, *, threads: int, precisions: list[str], with_openvino: bool) -> dict[str, Any]:
    """``gflops`` by precision and ``gigabytes`` a second of this process."""
    gflops = {"fp32": _numpy_gflops()}
    say({"peak": "fp32"})
    for precision in precisions if with_openvino else ():
        if precision in BY_OPENVINO:
            gflops[precision] = max(gflops.get(precision, 0.0), _openvino_gflops(precision, threads))
            say({"peak": precision})
    return {"gflops": gflops, "gigabytes": _gigabytes(threads)}


def best_rate(run: Callable[[], object], amount: float, seconds: float = SECONDS) -> float:
    """``amount`` over the time of the quickest run."""
    run()  # fills caches, and pages that were never touched
    quickest, begun, runs = float("inf"), time.perf_counter(), 0
    while runs < 2 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        run()
        quickest = min(quickest, time.perf_counter() - start)
        runs += 1
    return amount / quickest


def _numpy_gflops() -> float:
    one, other = (np.full((SIDE, SIDE), value, np.float32) for value in (0.5, 0.25))
    out = np.empty_like(one)
    return best_rate(lambda: np.matmul(one, other, out=out), 2 * SIDE**3 / 1e9)


def _openvino_gflops(precision: str, threads: int) -> float:
    from aasist.runtime.openvino import core, settings

    processor = core()  # before the package itself is imported, which it keeps quiet
    import openvino as ov
    from openvino import opset13 as ops

    one = ops.parameter([SIDE, SIDE], np.float32)
    product = ops.matmul(one, ops.constant(np.full((SIDE, SIDE), 0.25, np.float32)), False, False)
    compiled = processor.compile_model(ov.Model([product], [one]), "CPU", settings(precision, threads))
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(np.full((SIDE, SIDE), 0.5, np.float32)))
    return best_rate(request.infer, 2 * SIDE**3 / 1e9)


def _gigabytes(threads: int) -> float:
    source, target = np.ones(COPIED_BYTES // 8), np.empty(COPIED_BYTES // 8)
    parts = [slice(len(source) * i // threads, len(source) * (i + 1) // threads) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:  # copying lets other threads run
        return best_rate(
            lambda: list(pool.map(lambda part: np.copyto(target[part], source[part]), parts)), 2 * COPIED_BYTES / 1e9
        )
