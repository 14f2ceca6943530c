"""``aasist models``: what is shipped."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def models(as_json: bool) -> None:
    """List the models that are shipped, with their hashes and measured figures.

    EER is the equal error rate on the demo-page corpus, with its 95 % interval; docs/model-card.md has the rest.
    """
    from aasist.cli.operating import in_words
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
            click.echo(f"  --threshold {point.name} ({point.threshold:+.2f}): {in_words(point)}, on dev")
        click.echo(f"  licence {facts['licence']}, sha256 {facts['sha256']}")
