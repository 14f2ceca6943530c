"""Options that several verbs share, each group gathered into one argument: which trials, and what to say of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aasist.evaluation.figures import Asv, Choices
    from aasist.protocol.asv import AsvScores

Verb = Callable[..., Any]
Decorator = Callable[[Verb], Verb]
FILE = click.Path(path_type=Path)


def gathered(argument: str, group: type, *options: Decorator) -> Decorator:
    """Gives a verb ``options`` as one ``argument``: a ``group``, a dataclass whose fields are the options' names."""
    names = [field.name for field in fields(group)]

    def decorate(command: Verb) -> Verb:
        @functools.wraps(command)
        def verb(**values: Any) -> Any:
            return command(**{argument: group(**{name: values.pop(name) for name in names})}, **values)

        decorated: Verb = verb
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


@dataclass(frozen=True)
class KeyOptions:
    """Where the key of a score file's trials comes from, and which of them count."""

    protocol: Path | None
    layout: str | None
    conditions: tuple[str, ...]
    """``COLUMN=VALUE`` each; all of them must hold."""

    def __bool__(self) -> bool:
        """Whether any of them is given."""
        return self != KeyOptions(None, None, ())


key_options = gathered(
    "key",
    KeyOptions,
    click.option(
        "--protocol",
        type=FILE,
        help="Protocol or manifest with the key of the trials.  [default: the score file's own]",
    ),
    click.option(
        "--layout", metavar="NAME", help="Layout of --protocol, such as asvspoof2019-la.  [default: recognised]"
    ),
    click.option(
        "--where",
        "conditions",
        multiple=True,
        metavar="COLUMN=VALUE",
        help="Only these trials of --protocol, or of the score file, such as subset=eval. May be repeated.",
    ),
)


@dataclass(frozen=True)
class CorpusOptions:
    """Which recordings."""

    corpus: str | None
    root: Path | None
    subset: str | None

    def __bool__(self) -> bool:
        """Whether any of them is given."""
        return self != CorpusOptions(None, None, None)


def corpus_options(default: str) -> Decorator:
    """`CorpusOptions` as the argument ``recordings``; ``default`` says which subset it is without ``--subset``."""
    return gathered(
        "recordings",
        CorpusOptions,
        click.option(
            "--corpus", metavar="NAME", help="How the recordings are laid out; aasist evaluate --list names them all."
        ),
        click.option("--root", type=FILE, help="Where the corpus was unpacked to."),
        click.option("--subset", metavar="NAME", help=f"Part of it.  [default: {default}]"),
    )


@dataclass(frozen=True)
class MeasureOptions:
    """What to say of scores: the verification system behind the countermeasure, threshold, groups, intervals."""

    asv_scores: Path | None
    asv_key: Path | None
    asv_rates: tuple[float, float, float] | None
    threshold: float | None
    by: tuple[str, ...]
    rounds: int
    seed: int
    threads: int | None

    def choices(self, threshold: float = 0.0) -> Choices:
        """What a summary is made with; ``threshold`` is that without ``--threshold``."""
        from aasist.evaluation.figures import Choices
        from aasist.runtime.threads import available_threads

        if self.threshold is not None and not math.isfinite(self.threshold):
            raise click.UsageError(f"--threshold must be a finite number, got {self.threshold}")
        chosen = threshold if self.threshold is None else self.threshold
        return Choices(chosen, self.by, rounds=self.rounds, seed=self.seed, threads=self.threads or available_threads())

    def asv(self) -> Asv | None:
        """The verification system; None where nothing is known of one."""
        if self.asv_scores is not None and self.asv_rates is not None:
            raise click.UsageError("--asv-scores and --asv-rates exclude each other")
        if self.asv_key is not None and self.asv_scores is None:
            raise click.UsageError("--asv-key is the key of --asv-scores, which is missing")
        if self.asv_rates is not None:
            return _asv_at(self.asv_rates)
        if self.asv_scores is None:
            return None
        from aasist.protocol.asv import read_asv_scores

        return asv_from(read_asv_scores(self.asv_scores, key=self.asv_key))


MODEL_HELP = "A shipped model, a model file of ours (.onnx; .xml for OpenVINO), or a .safetensors or .pth checkpoint (extra: train)."


@dataclass(frozen=True)
class RuntimeOptions:
    """What a model runs in; the fields are what `aasist.runtime.detector.Detector` calls them."""

    runtime: str = "auto"
    precision: str | None = None

    def __bool__(self) -> bool:
        """Whether any of them is given."""
        return self != RuntimeOptions()

    def given(self) -> dict[str, Any]:
        """As keywords of a detector."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


runtime_options = gathered(
    "running",
    RuntimeOptions,
    click.option(
        "--runtime",
        # Those of aasist.runtime.runtimes and of aasist.runtime.notes, which --help is too quick to import.
        type=click.Choice(["auto", "onnxruntime", "openvino", "torch"]),
        default="auto",
        show_default=True,
        help="What the model runs in: openvino and torch are extras (openvino, train). auto: what its file is made for.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16", "fp16", "int8"]),
        help="Of the arithmetic: bf16 in openvino, where the processor has it; fp16 and int8 are files of their own.  "
        "[default: the model's]",
    ),
)


rounds_option = click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Rounds of the bootstrap; 0 leaves the intervals out.",
)
threads_option = click.option("--threads", type=click.IntRange(min=1), help="[default: all that the process may use]")


measure_options = gathered(
    "measures",
    MeasureOptions,
    click.option(
        "--asv-scores", type=FILE, help="Scores of a speaker verification system: with them, t-DCF is computed."
    ),
    click.option("--asv-key", type=FILE, help="Key of --asv-scores, where they come without."),
    click.option(
        "--asv-rates",
        type=(float, float, float),
        metavar="MISS FA SPOOF",
        help="Or its rates: targets rejected, non-targets accepted, spoofs accepted (fractions).",
    ),
    click.option(
        "--threshold", type=float, help="On the scores: below it is a spoof.  [default: 0; of evaluate: the model's]"
    ),
    click.option(
        "--by", multiple=True, metavar="COLUMN", help="Break the figures down by this column too. May be repeated."
    ),
    rounds_option,
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."),
    threads_option,
)


def _asv_at(rates: tuple[float, float, float]) -> Asv:
    from aasist.evaluation.dcf import AsvRates, legacy_weights, revised_weights
    from aasist.evaluation.figures import Asv

    try:
        point = AsvRates(*rates)
        legacy_weights(point), revised_weights(point)
    except ValueError as error:
        raise click.UsageError(f"--asv-rates: {error}") from error
    return Asv(point)


def asv_from(scores: AsvScores) -> Asv:
    """Verification scores -> the operating points they come to."""
    from aasist.errors import ProtocolError
    from aasist.evaluation.dcf import legacy_weights, revised_weights
    from aasist.evaluation.figures import Asv

    try:
        asv = Asv.of(scores.target, scores.nontarget, scores.spoof, scores.spoof_attacks)
        legacy_weights(asv.pooled), revised_weights(asv.pooled)
    except ValueError as error:
        raise ProtocolError(str(error), path=scores.source) from error
    return asv
