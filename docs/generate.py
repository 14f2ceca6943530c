"""Writes what a machine can write: command help, tables and figures, between markers in README and docs.

python docs/generate.py          rewrites them
python docs/generate.py --check  fails when they are not what it would write
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from aasist.cli import VERBS, aasist

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/cli.md", "docs/model-card.md", "docs/performance.md")
MARKED = re.compile(r"(<!-- begin:(?P<name>[\w-]+) -->\n).*?(<!-- end:(?P=name) -->)", re.DOTALL)


def percent(fraction: float) -> str:
    """0.1234 -> 12.3 %."""
    return f"{100 * fraction:.1f} %"


def models() -> dict:
    """The package's own record of its models."""
    return json.loads((ROOT / "src/aasist/models/models.json").read_text())


def card() -> dict:
    """Every figure of the model card, as the evaluation recipe wrote it."""
    return json.loads((ROOT / "docs/model-card-figures.json").read_text())


def headline() -> str:
    figures = models()["efficient"]["figures"]["test"]
    low, high = figures["eer_95"]
    return (
        f"On {figures['bonafide'] + figures['spoof']} held-out clips of {figures['systems']} systems it was not trained "
        f"on, its equal error rate is **{percent(figures['eer'])}** (95 % interval {percent(low)} to {percent(high)}): "
        f"[docs/model-card.md](docs/model-card.md) says where it fails.\n"
    )


def conditions() -> str:
    lines = ["| split | condition | EER | 95 % interval | mean EER within a source page | Cllr (bits) | bona fide rejected | spoofs accepted | clips without a score |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for split in ("dev", "test"):
        for name, f in card()[split].items():
            low, high = f["eer_95"]
            lines.append(
                f"| {split} | {name} | {percent(f['eer'])} | {percent(low)} to {percent(high)} | "
                f"{percent(f['within_source'])} | {f['cllr']:.3f} | {percent(f['miss_at_0'])} | "
                f"{percent(f['false_acceptance_at_0'])} | {f['unscored']} |"
            )
    return "\n".join(lines) + "\n"


def breakdown(column: str) -> Callable[[], str]:
    def table() -> str:
        lines = [f"| {column} | split | spoofs | EER | accepted as real |", "|---|---|---|---|---|"]
        for split in ("dev", "test"):
            for value, f in card()[split]["clean"][f"by_{column}"].items():
                lines.append(f"| {value} | {split} | {f['trials']} | {percent(f['eer'])} | {percent(f['accepted'])} |")
        return "\n".join(lines) + "\n"

    return table


def by_source() -> str:
    lines = ["| source page | split | EER within it |", "|---|---|---|"]
    for split in ("dev", "test"):
        lines += [f"| {s} | {split} | {percent(rate)} |" for s, rate in card()[split]["clean"]["by_source"].items()]
    return "\n".join(lines) + "\n"


def command_help() -> str:
    parts = []
    for name in (None, *VERBS):
        command = aasist if name is None else getattr(import_module(f"aasist.cli.{name}"), name)
        path = "aasist" if name is None else f"aasist {name}"
        names = ["-h", "--help"]
        with click.Context(command, info_name=path, terminal_width=100, help_option_names=names) as context:
            parts.append(f"## {path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def speed() -> str:
    """The benchmark's own table."""
    return (ROOT / "docs/performance-table.md").read_text()


PARTS: dict[str, Callable[[], str]] = {
    "headline": headline,
    "conditions": conditions,
    "kinds": breakdown("kind"),
    "systems": breakdown("system"),
    "sources": by_source,
    "cli": command_help,
    "speed": speed,
}


def main() -> int:
    stale = []
    for page in PAGES:
        path = ROOT / page
        text = path.read_text()
        new = MARKED.sub(lambda match: match[1] + PARTS[match["name"]]() + match[3], text)
        if new != text:
            stale.append(page)
            if "--check" not in sys.argv:
                path.write_text(new)
    if "--check" in sys.argv and stale:
        print(f"not as generated: {', '.join(stale)}; run: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
