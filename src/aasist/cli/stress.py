"""The conditions of ``aasist evaluate --stress``: which were asked for, and the table's rows with a bar on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.options import gathered

if TYPE_CHECKING:
    from aasist.evaluation.figures import Choices
    from aasist.evaluation.tables import StressRow
    from aasist.runtime.detector import Detector
    from aasist.trial import Trials
    from aasist.trials.conditions import Condition
    from aasist.trials.waveforms import WaveformCache


@dataclass(frozen=True)
class StressOptions:
    """Whether to repeat an evaluation under conditions, under which, and where to keep degraded audio."""

    stress: bool
    only: tuple[str, ...]
    cache: Path | None

    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in the order of the table, none without ``--stress``; a name that is none, and an option
        without ``--stress``, are usage errors."""
        if not self.stress:
            if self.only:
                raise click.UsageError("--condition picks among the conditions of --stress, which is missing")
            if self.cache is not None:
                raise click.UsageError("--cache keeps the audio of --stress, which is missing")
            return ()
        from aasist.trials.stress import CONDITIONS

        wanted = {condition.name for condition in conditions_named(self.only)}
        return tuple(name for name in CONDITIONS if not self.only or name in ("clean", *wanted))

    def waveforms(self) -> WaveformCache | None:
        """The cache of ``--cache``; an error where the folder cannot be used."""
        if self.cache is None:
            return None
        from aasist.trials.waveforms import WaveformCache

        return WaveformCache(self.cache)


def conditions_named(names: tuple[str, ...]) -> list[Condition]:
    """The conditions of those names, in the order of the table; a name that is none is a usage error."""
    from aasist.trials.stress import CONDITIONS

    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise click.UsageError(f"no condition {unknown[0]!r}; there are: {', '.join(CONDITIONS)}")
    return [CONDITIONS[name] for name in CONDITIONS if name in names]


stress_options = gathered(
    "stress",
    StressOptions,
    click.option("--stress", is_flag=True, help="Repeat under codecs, noise, rooms, speeds, ...: one table."),
    click.option(
        "--condition",
        "only",
        multiple=True,
        metavar="NAME",
        help="Only this condition of --stress. May be repeated; --list names them.",
    ),
    click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        help="Keep degraded audio of --stress here.",
    ),
)


def stressed(
    detector: Detector,
    trials: Trials,
    folder: Path,
    names: tuple[str, ...],
    chosen: Choices,
    cache: WaveformCache | None,
    *,
    first_window: bool,
) -> tuple[StressRow, ...]:
    """The rows of the stress table under the conditions ``names``, none where there are none."""
    from aasist.cli.progress import counting
    from aasist.trials.robustness import stress_rows
    from aasist.trials.stress import CONDITIONS

    if not names:
        return ()
    conditions = [CONDITIONS[name] for name in names]
    order = {condition: number for number, condition in enumerate(names)}
    with counting("stress", len(names) * len(trials)) as progress:

        def report(condition: str, done: int, total: int) -> None:
            progress(order.get(condition, 0) * total + done)

        return tuple(
            stress_rows(
                detector, trials, folder, conditions, chosen, first_window=first_window, cache=cache, progress=report
            )
        )
