"""The last line of a table: when, by which script, on what machine and with which versions it was measured."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from aasist.bench.machine import measured_by


def footer(script: str, *packages: str, arguments: Sequence[str] = ()) -> str:
    """``Measured 2026-11-24 by `python benchmarks/graph.py` on 2 cores of ...; Python 3.11.2, torch 2.13.0.``"""
    return measured_by(" ".join((f"python benchmarks/{script}", *arguments)), packages)


def as_given(parser: argparse.ArgumentParser, given: argparse.Namespace, *, but: Sequence[str] = ()) -> list[str]:
    """The arguments that a table comes out of again by: whatever is not the default, ``but`` what changes no figure.

    Places on this machine stand by the name of what they are: ``MANIFEST``, ``--tuned TUNED``.
    """
    words = []
    for action in parser._actions:
        value = getattr(given, action.dest, None)
        if action.dest in ("help", *but) or value == action.default:
            continue
        values = value if isinstance(value, list) else [value]
        told = [action.dest.upper() if isinstance(one, Path) else str(one) for one in values]
        words += [*action.option_strings[-1:], *([] if value is True else told)]
    return words
