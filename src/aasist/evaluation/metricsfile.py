"""``metrics.json`` read back: the summary and the stress table of an evaluation that was written to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from aasist.errors import ProtocolError
from aasist.evaluation.dcf import AsvRates, DetectionCosts, TandemCosts
from aasist.evaluation.figures import Asv, Choices, Figures
from aasist.evaluation.summary import SCHEMA, Summary
from aasist.evaluation.tables import StressRow


def summary_from_dict(values: Mapping[str, Any]) -> Summary:
    """What `Summary.to_dict` gave -> the summary, but for what it leaves out: threads, operating points by attack, and
    thresholds that were infinite (None). Further keys are left alone.

    Raises ``ValueError`` where the object is of another schema or lacks something.
    """
    if values.get("schema") != SCHEMA:
        raise ValueError(f"schema must be {SCHEMA}, got {values.get('schema')!r}: evaluate again with this version")
    try:
        choices = dict(values["choices"])
        choices["by"] = tuple(choices["by"])
        choices["costs"] = DetectionCosts(**choices["costs"])
        choices["tandem_costs"] = TandemCosts(**choices["tandem_costs"])
        columns = {"attack": values["by_attack"]} if values["by_attack"] else {}
        columns.update(values["by"])
        return Summary(
            pooled=_figures(values),
            by={column: {name: _figures(f) for name, f in groups.items()} for column, groups in columns.items()},
            choices=Choices(**choices),
            asv=None if values["asv"] is None else Asv(AsvRates(**values["asv"])),
            speakers=values["speakers"],
            by_speaker=(values["by_speaker"]["bonafide"], values["by_speaker"]["spoof"]),
            macro_intervals={column: _pair(limits) for column, limits in values["macro_eer_intervals"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not the metrics of an evaluation: {_said(error)}") from error


def stress_from_dict(values: Mapping[str, Any]) -> tuple[StressRow, ...]:
    """The rows under ``stress``, none where there are none; ``ValueError`` where one is not a row."""
    try:
        pairs = ("interval", "change_interval")
        rows = [{**row, **{name: _pair(row.get(name)) for name in pairs}} for row in values.get("stress", ())]
        return tuple(StressRow(**row) for row in rows)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not the stress table of an evaluation: {_said(error)}") from error


def read_metrics(path: Path) -> tuple[Summary, tuple[StressRow, ...]]:
    """A ``metrics.json`` -> its summary and its stress table; ``ProtocolError`` where it is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("a JSON object was wanted")
        return summary_from_dict(values), stress_from_dict(values)
    except OSError as error:
        raise ProtocolError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:  # of JSON and of UTF-8 too
        raise ProtocolError(str(error), path=path) from error


def _figures(values: Mapping[str, Any]) -> Figures:
    known = {field.name: values[field.name] for field in fields(Figures)}
    known["intervals"] = {name: _pair(limits) for name, limits in known["intervals"].items()}
    return Figures(**known)


def _pair(limits: Any) -> Any:
    if limits is None:
        return None
    low, high = limits
    return low, high


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
