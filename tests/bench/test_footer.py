"""The footer of a benchmark's table names the arguments that it comes out of again by."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from footer import as_given, footer


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("manifest", type=Path)
    made.add_argument("--remove", type=float, nargs="+", default=[0.25, 0.5])
    made.add_argument("--windows", type=int, default=256)
    made.add_argument("--most", type=int)
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--tuned", type=Path)
    made.add_argument("--every", action="store_true")
    return made


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("m.tsv", "MANIFEST"),
        ("m.tsv --most 120 --windows 128 --threads 2", "MANIFEST --windows 128 --most 120"),
        ("m.tsv --windows 256 --remove 0.5 0.9", "MANIFEST --remove 0.5 0.9"),
        ("/home/me/m.tsv --tuned /home/me/t --every", "MANIFEST --tuned TUNED --every"),
    ],
)
def test_what_is_not_the_default_is_named_and_no_place_of_this_machine(line: str, words: str) -> None:
    made = parser()
    found = as_given(made, made.parse_args(line.split()), but=("threads",))
    assert " ".join(found) == words
    assert f"by `python benchmarks/pruning.py {words}` on" in footer("pruning.py", arguments=found)
