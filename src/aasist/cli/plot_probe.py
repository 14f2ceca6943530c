"""The findings of a probe as a picture: a bar for each cue, as recordings are and as training sees them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from aasist.cli.plot import FAKE_COLOUR, REAL_COLOUR

if TYPE_CHECKING:
    from aasist.training.probe.findings import Findings, Told

LOOKS = {
    "recordings": {"color": FAKE_COLOUR, "label": "recordings as they are", "hatch": "///"},
    "windows": {"color": REAL_COLOUR, "label": "windows that training sees", "hatch": ""},
}


def picture(found: Findings) -> bytes:
    """Error rates with their intervals, as a PNG: EER with sources held out, and where there are pairs, how often the
    bona fide trial of one is not picked; at 50 % a cue tells nothing."""
    from matplotlib.figure import Figure

    windows = found.seen["windows"]
    names = [told.cue.name for told in sorted(windows.cues, key=lambda told: -told.eer.value)]
    names = [told.cue.name for told in found.seen["recordings"].cues if told.cue.name not in names][::-1] + names
    names.append(windows.joint.cue.name)
    with_pairs = windows.joint.within_pairs is not None
    figure = Figure(figsize=(11 if with_pairs else 7, 1.6 + 0.32 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2 if with_pairs else 1, sharey=True, squeeze=False)[0]
    held = "sources" if windows.joint.by_source is not None else "recordings"
    titles = (f"EER, {held} held out, %", "bona fide not picked within pairs, %")
    for panel, title, within in zip(panels, titles, (False, True), strict=False):
        for offset, name in ((0.2, "recordings"), (-0.2, "windows")):
            by_name = {told.cue.name: told for told in (*found.seen[name].cues, found.seen[name].joint)}
            _bars(
                panel, [(row + offset, by_name[cue]) for row, cue in enumerate(names) if cue in by_name], name, within
            )
        panel.axvline(50, color="0.2", linewidth=1)
        panel.axvline(45, color="0.4", linewidth=0.8, linestyle="--")
        panel.set_xlim(0, 65)
        panel.set_xlabel(title)
        panel.set_yticks(range(len(names)), names)
        panel.grid(axis="x", alpha=0.2)
    panels[0].legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    figure.suptitle(f"{found.draws:,} draws of training, all cues together: {windows.verdict}", fontsize=11)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()


def _bars(panel: Any, rows: list[tuple[float, Told]], name: str, within: bool) -> None:
    rates = [(place, told.within_pairs if within else told.eer) for place, told in rows]
    known = [(place, rate) for place, rate in rates if rate is not None]
    values = [100 * (1 - rate.value if within else rate.value) for _, rate in known]
    limits = [(1 - rate.interval[1], 1 - rate.interval[0]) if within else rate.interval for _, rate in known]
    errors = [
        [max(0.0, value - 100 * low) for value, (low, _) in zip(values, limits, strict=True)],
        [max(0.0, 100 * high - value) for value, (_, high) in zip(values, limits, strict=True)],
    ]
    panel.barh([place for place, _ in known], values, height=0.38, xerr=errors, alpha=0.75,
               error_kw={"linewidth": 0.9, "ecolor": "0.2"}, **LOOKS[name])  # fmt: skip
