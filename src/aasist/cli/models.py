"""``aasist models``: what is shipped, and what a model file says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aasist.runtime.described import Description


@click.command()
@click.argument("paths", nargs=-1, metavar="[MODEL...]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def models(paths: tuple[str, ...], as_json: bool) -> None:
    """List the models that are shipped, with their hashes and measured figures, or say what is in each MODEL.

    MODEL is a model file (.onnx, or .xml for OpenVINO) or a shipped name: its notes, whether its digest holds, its
    calibration and thresholds by precision, and the proof of parity that export wrote into it. Exit code 1: one of them
    cannot be used.

    EER in the list is the equal error rate on the demo-page corpus, with its 95 % interval; docs/model-card.md has the rest.
    """
    if not paths:
        list_shipped(as_json)
        return
    from aasist.errors import AasistError
    from aasist.runtime.described import describe

    failed = 0
    for path in paths:
        try:
            description = describe(path)
        except AasistError as error:
            failed += 1
            click.echo(f"aasist: {error.message}", err=True)
            continue
        click.echo(json.dumps(as_values(description), allow_nan=False) if as_json else in_words(description))
    click.get_current_context().exit(1 if failed else 0)


def as_values(description: Description) -> dict[str, Any]:
    """As one JSON object."""
    values, parity = asdict(description), description.parity
    notes = values.pop("notes")
    notes["variant"] = json.loads(notes["variant"])
    values["parity"] = None if parity is None else json.loads(parity.to_json())
    return {**values, "notes": notes}


def in_words(description: Description) -> str:
    """A few lines for people."""
    from aasist.cli.operating import in_words as point_in_words

    notes = description.notes
    lines = [
        f"{description.path}: {notes.name}, version {notes.version}, {notes.precision}, {description.format}, "
        f"{description.bytes / 1e6:.2f} MB",
        f"  windows of {notes.window_samples / notes.sample_rate:.2f} s every {notes.hop_samples / notes.sample_rate:.2f} s",
    ]
    for precision in (notes.precision, *(one.precision for one in notes.stated)):
        at = notes.at(precision)
        map_ = (
            "not calibrated"
            if at.calibration is None
            else "llr = {slope:.4g} x margin {offset:+.4g}".format(**vars(at.calibration))
        )
        rule = f" ({at.operating_point})" if at.operating_point else ""
        lines.append(f"  in {precision}: {map_}, threshold {at.threshold:+.3f}{rule}")
        lines += [
            f"    --threshold {point.name} ({point.threshold:+.2f}): {point_in_words(point)}" for point in at.points
        ]
    proof = "none in the file: it was made without, or its graph was changed since"
    lines.append(f"  parity: {proof if description.parity is None else description.parity.in_words()}")
    if notes.quantised:
        lines.append(f"  quantised: {notes.quantised}")
    if notes.training:
        lines.append(f"  training: {notes.training}")
    lines.append(f"  licence {notes.licence or 'not stated'}, sha256 {description.sha256}, digest holds")
    return "\n".join(lines)


def list_shipped(as_json: bool) -> None:
    """The shipped models, from the package's own record of them."""
    from aasist.cli.operating import in_words as point_in_words
    from aasist.runtime.models import DEFAULT_MODEL, shipped
    from aasist.runtime.points import NamedPoint

    for name, facts in shipped().items():
        if as_json:
            click.echo(json.dumps({"name": name, "default": name == DEFAULT_MODEL, **facts}))
            continue
        default = " (default)" if name == DEFAULT_MODEL else ""
        click.echo(f"{name}{default}  version {facts['version']}, {facts['precision']}, {facts['bytes'] / 1e6:.2f} MB")
        click.echo(f"  {facts['summary']}")
        for split, figures in facts["figures"].items():
            low, high = figures["eer_95"]
            click.echo(
                f"  EER on {split}: {figures['eer']:.1%} ({low:.1%} to {high:.1%}; {figures['bonafide']} bona fide, "
                f"{figures['spoof']} spoofs of {figures['systems']} systems)"
            )
        for values in facts.get("points", ()):
            point = NamedPoint.from_json(values)
            click.echo(f"  --threshold {point.name} ({point.threshold:+.2f}): {point_in_words(point)}, on dev")
        click.echo(f"  licence {facts['licence']}, sha256 {facts['sha256']}")
