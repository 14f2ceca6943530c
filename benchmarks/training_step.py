"""Times a training step of AASIST and of ``efficient`` against the published one; writes docs/training-step-table.md.

    python benchmarks/training_step.py [--rounds 5] [--batch 24] [--threads 2]
    python benchmarks/training_step.py --curve 60 --kinds published fp32 bf16     # their losses, side by side

Every kind of step runs in a process of its own, one step at a time and in turns: a busy machine slows all alike, and the
peak of each process is its own. Before anything is timed, all that compute the same are seen to. Needs torch, about 16 GB
of memory, and the development environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.model.aasist import Aasist
from aasist.model.training_form import prepared
from aasist.recipe import AASIST, EFFICIENT
from footer import footer
from published import PublishedAasist

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "training-step-table.md"
SAMPLES = 64_600

KINDS = {
    "published": "AASIST, published step (fp32, eager)",
    "plain": "AASIST, our model as it is written (fp32, eager)",
    "autocast": "AASIST, our model as it is written, bf16 autocast, channels last",
    "fp32": "AASIST, training form, fp32",
    "bf16": "AASIST, training form, bf16",
    "efficient-fp32": "`efficient`, training form, fp32",
    "efficient-bf16": "`efficient`, training form, bf16",
}


def form_of(kind: str, model: Aasist) -> nn.Module:
    """What turns waveforms into logits."""
    if kind == "published":
        return PublishedAasist(model)
    if kind == "plain":
        return model
    if kind == "autocast":
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return prepared(model, "bf16", "meta")
    return prepared(model, kind.removeprefix("efficient-"), "cpu")


def model_of(kind: str) -> Aasist:
    torch.manual_seed(0)
    return Aasist(EFFICIENT if kind.startswith("efficient") else AASIST)


class Batches:
    """Crops of the example recordings, and as spoofs the same with the phases of their spectra drawn anew."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        files = [
            soundfile.read(path, dtype="float32", always_2d=True) for path in sorted((ROOT / "examples").glob("human*"))
        ]
        self.speech = torch.from_numpy(np.concatenate([samples.mean(1) for samples, rate in files if rate == 16_000]))

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Waveforms (B, T) and labels (B,), 1 = bona fide: the same for the same number."""
        random = torch.Generator().manual_seed(number)
        starts = torch.randint(len(self.speech) - SAMPLES, (self.batch,), generator=random)
        waveforms = torch.stack([self.speech[start : start + SAMPLES] for start in starts.tolist()])
        labels = torch.arange(self.batch) % 2
        window = torch.hann_window(512)
        spectra = torch.stft(waveforms[labels == 0], 512, window=window, return_complex=True)
        phases = 2 * torch.pi * torch.rand(spectra.shape, generator=random)
        waveforms[labels == 0] = torch.istft(torch.polar(spectra.abs(), phases), 512, window=window, length=SAMPLES)
        return waveforms, labels


def child(kind: str, batch: int, threads: int) -> None:
    """Takes a step for every line on stdin, on the batch of that number; answers with seconds, loss and peak memory."""
    torch.set_num_threads(threads)
    model, batches = model_of(kind), Batches(batch)
    form = form_of(kind, model).train()
    weights = [w for name, w in model.named_parameters() if "unused_norm" not in name]
    optimiser = torch.optim.Adam(weights, lr=1e-4, weight_decay=1e-4, fused=kind != "published")
    loss_weights = torch.tensor([0.1, 0.9])
    for line in sys.stdin:
        waveforms, labels = batches[int(line)]
        torch.manual_seed(int(line))
        start = time.perf_counter()
        loss = functional.cross_entropy(form(waveforms), labels, loss_weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(json.dumps([time.perf_counter() - start, loss.item(), peak_mebibytes()]), flush=True)


def peak_mebibytes() -> float:
    """Of this process so far. Linux tells it in /proc; what wait4 tells of a child begins with its parent's memory."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


class Steps:
    """A child and what it measured."""

    def __init__(self, kind: str, batch: int, threads: int) -> None:
        words = [sys.executable, __file__, "--child", kind, "--batch", str(batch), "--threads", str(threads)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.peak = 0.0

    def take(self, number: int) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(number, file=self.process.stdin, flush=True)
        seconds, loss, self.peak = json.loads(self.process.stdout.readline())
        self.seconds.append(seconds)
        self.losses.append(loss)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def check() -> None:
    """All forms that compute the same do, forwards and backwards, with dropouts off.

    In float64: in float32 the least rounding changes which of two equal values is the larger one somewhere, and then the
    gradients of any two forms differ by some 1e-3.
    """
    found = {}
    waveforms, labels = Batches(2)[0]
    for kind in ("published", "plain", "fp64"):
        torch.manual_seed(0)
        model = Aasist(replace(AASIST, dropouts=(0.0,) * 4)).train().double()
        logits = form_of(kind, model)(waveforms.double())
        functional.cross_entropy(logits, labels).backward()
        weights = [w.grad for name, w in model.named_parameters() if "unused" not in name and w.grad is not None]
        found[kind] = logits.detach(), torch.cat([gradient.flatten() for gradient in weights])
    for kind, (logits, gradient) in found.items():
        expected_logits, expected = found["published"]
        off, turned = (logits - expected_logits).abs().max(), (gradient - expected).norm() / expected.norm()
        print(f"{kind}: logits differ by {off:.1e} from the published form's, gradients by {turned:.1e}", flush=True)
        if off > 1e-6 or turned > 1e-4:
            raise SystemExit(f"{kind} does not compute what the published form does")


def measured(kinds: list[str], rounds: int, batch: int, threads: int) -> list[str]:
    children = {kind: Steps(kind, batch, threads) for kind in kinds}
    for number in range(rounds + 1):
        for kind, steps in children.items():
            steps.take(number)
            print(f"{kind}: {steps.seconds[-1]:.2f} s, loss {steps.losses[-1]:.3f}", file=sys.stderr, flush=True)
    for steps in children.values():
        steps.end()
    # The first step warms up. Ratios are of steps next to each other, so that a slow minute is in both.
    reference = np.array(children["published"].seconds[1:]) if "published" in children else None
    lines = [
        f"| training step, batch {batch}, {SAMPLES:,} samples, {threads} threads | seconds (median) | windows a second "
        "| times the published step | peak memory |",
        "|---|---|---|---|---|",
    ]
    for kind, steps in children.items():
        seconds = np.array(steps.seconds[1:])
        ratio = "" if reference is None else f"{np.median(reference / seconds):.1f}"
        median = float(np.median(seconds))
        lines.append(f"| {KINDS[kind]} | {median:.2f} | {batch / median:.1f} | {ratio} | {steps.peak / 1024:.1f} GiB |")
    return lines


def curves(kinds: list[str], steps: int, batch: int, threads: int) -> None:
    """Print the losses of several kinds of step on the same batches, from the same weights."""
    children = {kind: Steps(kind, batch, threads) for kind in kinds}
    print("step", *kinds)
    for number in range(steps):
        for each in children.values():
            each.take(number)
        print(number, *(f"{each.losses[-1]:.4f}" for each in children.values()), flush=True)
    for each in children.values():
        each.end()
    tail = max(steps // 4, 1)
    for kind, each in children.items():
        print(f"{kind}: mean loss of the last {tail} steps {np.mean(each.losses[-tail:]):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--threads", type=int, default=min(2, psutil.cpu_count() or 1))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--curve", type=int, default=0, help="print the losses of so many steps, and write nothing")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.batch, arguments.threads)
        return
    if arguments.curve:
        curves(arguments.kinds, arguments.curve, arguments.batch, arguments.threads)
        return
    check()
    lines = measured(arguments.kinds, arguments.rounds, arguments.batch, arguments.threads)
    lines += [
        "",
        "Peak memory is of the whole process, about 0.4 GiB of it PyTorch itself. "
        f"{footer('training_step.py', 'torch')}",
    ]
    print("\n".join(lines))
    if set(arguments.kinds) == set(KINDS):
        TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
