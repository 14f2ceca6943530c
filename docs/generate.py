"""Writes what a machine can write: command help, tables and figures, between markers in README and docs.

python docs/generate.py          rewrites them
python docs/generate.py --check  fails when they are not what it would write
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from aasist.bench.roofline import LayerReached
from aasist.bench.tables import layers_table, milliseconds, times_table
from aasist.cli import VERBS, aasist
from aasist.evaluation.figures import Figures
from aasist.evaluation.metricsfile import read_metrics
from aasist.evaluation.summary import Summary
from aasist.evaluation.tables import StressRow, Table, breakdown_table, headline_table, worst_condition
from aasist.model.cost import cost
from aasist.recipe import Architecture
from aasist.runtime import modelfile
from aasist.runtime.models import DEFAULT_MODEL

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "docs/api.md",
    "docs/cascade.md",
    "docs/cli.md",
    "docs/corpus.md",
    "docs/evaluation.md",
    "docs/model-card.md",
    "docs/model.md",
    "docs/performance.md",
    "docs/serving.md",
    "docs/streaming.md",
    "docs/training.md",
)
CARD = ROOT / "docs" / "model-card"
SPLITS = ("dev", "test")
HEADLINE_SPEEDS = ("aasist", "efficient", "small")
"""Models whose quickest row README shows."""
MARKED = re.compile(r"(<!-- begin:(?P<name>[\w-]+) -->\n).*?(<!-- end:(?P=name) -->)", re.DOTALL)


def percent(fraction: float) -> str:
    """0.1234 -> 12.3 %."""
    return f"{100 * fraction:.1f} %"


def models() -> dict:
    """The package's own record of its models."""
    return json.loads((ROOT / "src/aasist/models/models.json").read_text())


def metrics(split: str, model: str = DEFAULT_MODEL) -> tuple[Summary, tuple[StressRow, ...]]:
    """The evaluation of a shipped model on ``dev`` or ``test``, as ``aasist evaluate`` wrote it."""
    return read_metrics(CARD / f"{model}-{split}.json")


def evaluated(model: str) -> dict[str, str]:
    """Split -> the hash of the model file that was evaluated."""
    return {split: json.loads((CARD / f"{model}-{split}.json").read_text())["model"]["sha256"] for split in SPLITS}


def headline() -> str:
    figures = models()[DEFAULT_MODEL]["figures"]["test"]
    low, high = figures["eer_95"]
    unseen = metrics("test")[0].by["novelty"]["not named in train"].eer
    return (
        f"On {figures['bonafide']} real and {figures['spoof']} fake clips from pages it was not trained on, fakes of "
        f"{figures['systems']} systems, its equal error rate is **{percent(figures['eer'])}** (95 % interval {percent(low)} "
        f"to {percent(high)}); on the systems whose name is not in training either, {percent(unseen)}: "
        f"[docs/model-card.md](docs/model-card.md) says where it fails.\n"
    )


VARIANT_CONDITIONS = ("mp3-64", "phone-mulaw", "noise-10db")
"""What the shipped models are compared under."""


def variants() -> str:
    """The shipped models side by side: what they take, and their figures on both splits."""
    columns = {}
    for name, facts in models().items():
        notes = modelfile.read(ROOT / "src/aasist/models" / facts["file"])[1]
        gflop, parameters = cost(Architecture.from_json(notes.variant))
        rows = {"GFLOP a window": f"{gflop:.2f}", "parameters": f"{parameters:,}", "MB": f"{facts['bytes'] / 1e6:.2f}"}
        for split in SPLITS:
            summary, stressed = metrics(split, name)
            head = dict(headline_table(summary).rows)
            for figure in ("EER", "mean EER by source", "Cllr, bits", "min Cllr, bits"):
                rows[f"{figure}, {split}"] = head[figure]
            for row in stressed:
                if row.condition in VARIANT_CONDITIONS and row.eer is not None and row.change is not None:
                    rows[f"{row.condition}, {split}"] = f"{percent(row.eer)} ({100 * row.change:+.1f})"
        columns[name] = rows
    first = next(iter(columns.values()))
    return Table(("", *columns), tuple((row, *(of[row] for of in columns.values())) for row in first)).markdown()


def figures() -> str:
    """The pooled figures of both splits, side by side."""
    columns = [dict(headline_table(metrics(split)[0]).rows) for split in SPLITS]
    names = [name for name in columns[0] if name in columns[1]]
    return Table(("figure (95 % interval)", *SPLITS), tuple((n, *(c[n] for c in columns)) for n in names)).markdown()


def breakdown(column: str) -> Callable[[], str]:
    def tables() -> str:
        return "\n".join(f"On {split}:\n\n{breakdown_table(metrics(split)[0], column).markdown()}" for split in SPLITS)

    return tables


def stress() -> str:
    """EER of both splits under each condition, and its change."""
    both = [metrics(split)[1] for split in SPLITS]
    rows = []
    for pair in zip(*both, strict=True):
        cells = [pair[0].condition, pair[0].description]
        for row in pair:
            change = f" ({100 * row.change:+.1f})" if row.change is not None else ""
            lost = f", {row.unscored} unscored" if row.unscored else ""
            cells.append(f"{percent(row.eer)}{change}{lost}" if row.eer is not None else f"not run: {row.unavailable}")
        rows.append(tuple(cells))
    said = "\n\n".join(f"{split}: {worst_condition(of_split)}" for split, of_split in zip(SPLITS, both, strict=True))
    headers = ("condition", "what it does", *(f"EER on {split} (change, points)" for split in SPLITS))
    return f"{Table(headers, tuple(rows)).markdown()}\n{said}\n"


def failures() -> str:
    """Known failures that are figures of the tables above."""
    summary, stressed = metrics("test")
    by_condition = {row.condition: row for row in stressed}
    kinds, phone = summary.by["kind"], by_condition["phone-mulaw"]
    hard = [(name, f) for name, f in summary.by["attack"].items() if f.spoof >= 10 and f.eer is not None]
    hard.sort(key=lambda pair: -pair[1].eer)
    named = ", ".join(f"{name} ({percent(f.eer)})" for name, f in hard[:5])
    noisy, within = by_condition["noise-10db"], percent(summary.macro_eer("source"))
    return (
        f"- **At the default threshold it accepts {percent(summary.pooled.false_acceptance)} of the test spoofs**, while it "
        f"rejects {percent(summary.pooled.miss)} of the real clips: the calibration from dev does not carry over to test. "
        'Lower trust in "bonafide" than in "spoof".\n'
        f"- **Voice conversion** is worse (EER {percent(kinds['vc'].eer)} on test) than text-to-speech "
        f"({percent(kinds['tts'].eer)}). The worst systems of ten clips or more: {named}.\n"
        f"- **From one source to another** scores shift: within a source page it stands at {within} on test, over all pages "
        f"at {percent(summary.pooled.eer)}. Compare recordings of one origin where you can.\n"
        f"- **Telephone audio**: EER {percent(phone.eer)} on test ({100 * phone.change:+.1f} points). **Noise** at 10 dB: "
        f"{percent(noisy.eer)} ({100 * noisy.change:+.1f} points).\n"
    )


def metrics_call() -> str:
    """What the README's `aasist metrics` call prints."""
    said = CliRunner().invoke(aasist, ["metrics", str(ROOT / "examples" / "scores.tsv"), "--threads", "1"])
    assert said.exit_code == 0, said.output
    head = said.stdout.split("\n\n")[0].splitlines()
    return "```text\n" + "\n".join([*head[:9], "..."]) + "\n```\n"


def conditions_table() -> str:
    from aasist.trials.conditions import CONDITIONS

    rows = tuple((condition.name, condition.description) for condition in CONDITIONS.values())
    return Table(("condition", "what it does"), rows).markdown()


def corpora_table() -> str:
    from aasist.protocol.corpora import CORPORA

    rows = tuple((n, c.title, ", ".join(c.subsets) or "those the file names") for n, c in CORPORA.items())
    return Table(("--corpus", "what it is", "--subset"), rows).markdown()


def summary_keys() -> str:
    """Each figure in ``metrics.json`` with its docstring."""
    tree = ast.parse(inspect.getsource(Figures)).body[0]
    assert isinstance(tree, ast.ClassDef)
    rows = []
    for field, text in itertools.pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            rows.append((ast.unparse(field.target), " ".join(str(text.value.value).split())))
    return Table(("key", "what it is"), tuple(rows)).markdown()


def recipes_table(room: str) -> Callable[[], str]:
    """The shipped recipes of ``training`` or ``corpus``: what the comment at the head of each file says."""

    def table() -> str:
        shelf = import_module(f"aasist.{room}.recipe").SHELF
        rows = []
        for name in shelf.names():
            lines = (shelf.folder / f"{name}.toml").read_text(encoding="utf-8").splitlines()
            head = itertools.takewhile(lambda line: line.startswith("#"), lines)
            base = next((line.split('"')[1] for line in lines if line.startswith("base = ")), "-")
            rows.append((name, base, " ".join(line.removeprefix("# ") for line in head)))
        return Table(("recipe", "base", "what it is"), tuple(rows)).markdown()

    return table


def recipe_keys(room: str) -> Callable[[], str]:
    """Every key of a recipe of ``training`` or ``corpus``, a table a section."""

    def tables() -> str:
        from aasist.keys import keys_of, shown

        recipe = import_module(f"aasist.{room}.recipe").Recipe
        parts = []
        for section, keys in itertools.groupby(keys_of(recipe), lambda known: known.name.rpartition(".")[0]):
            rows = []
            for known in keys:
                kind = ", ".join(filter(None, known.choices)) or known.kind
                default = shown(known.default) or "empty"
                rows.append((known.name.rpartition(".")[2], kind, known.unit or "-", default, known.meaning))
            head = f"### {section}\n\n" if section else ""
            parts.append(head + Table(("key", "values", "unit", "default", "meaning"), tuple(rows)).markdown())
        return "\n".join(parts)

    return tables


def engines_table() -> str:
    """Our engines and what installs them, whatever is installed here."""
    from aasist.corpus.engines import ENGINES

    rows = []
    for name, place in ENGINES.items():
        module, _, kind = place.partition(":")
        engine = getattr(import_module(f"aasist.corpus.engines.{module}"), kind)
        rows.append((name, engine.kind, engine.technology, engine.licence, engine.install or "-"))
    return Table(("engine", "kind", "technology", "licence", "installed by"), tuple(rows)).markdown()


def costs_table() -> str:
    """What each architecture costs, and each shipped recipe that differs from its architecture; but for those that hear
    through a speech encoder, whose cost is the encoder's."""
    from aasist.recipe import ARCHITECTURES
    from aasist.training.recipe import read_recipe, shipped_recipes

    found = dict(ARCHITECTURES)
    for name in shipped_recipes():
        architecture = read_recipe(name).model.resolved()
        found.setdefault(architecture.name, architecture)
    rows = []
    for name, architecture in found.items():
        if architecture.front != "sinc":
            continue
        gflop, parameters = cost(architecture)
        rows.append((name, f"{gflop:.2f}", f"{parameters:,}"))
    return Table(("architecture", "GFLOP", "parameters"), tuple(rows)).markdown()


def command_help() -> str:
    parts = []
    for name in (None, *VERBS):
        command = aasist if name is None else getattr(import_module(f"aasist.cli.{name}"), name)
        path = "aasist" if name is None else f"aasist {name}"
        parts.append(help_of(command, path))
        if name is not None:
            parts += below(command, path)
    return "\n".join(parts)


def below(command: click.Command, path: str) -> list[str]:
    """The help of a group's commands, and of theirs."""
    if not isinstance(command, click.Group):
        return []
    parts = []
    for word, inner in command.commands.items():
        parts += [help_of(inner, f"{path} {word}"), *below(inner, f"{path} {word}")]
    return parts


def help_of(command: click.Command, path: str) -> str:
    with click.Context(command, info_name=path, terminal_width=100, help_option_names=["-h", "--help"]) as context:
        return f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"


def settings_table() -> str:
    """Every setting of the service."""
    from aasist.service.settings import ENV_PREFIX, Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default = (
            "`~/.local/state/aasist`"
            if name == "state_dir"
            else "-"
            if field.default is None
            else f"`{shown(field.default)}`"
        )
        rows.append((f"`{name}`", f"`{ENV_PREFIX}{name.upper()}`", default, field.description or ""))
    return piped(("setting", "in the environment", "default", "what it is"), rows)


def piped(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table whose cells are Markdown themselves."""
    rule = ("---",) * len(headers)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headers, rule, *rows))


def shown(value: Any) -> str:
    """As a settings file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "[]" if value == () else f"{value:,}".replace(",", "_") if isinstance(value, int) else str(value)


def api() -> str:
    """What can be asked over HTTP, from the OpenAPI document."""
    from aasist.service.app import create_app
    from aasist.service.routes.answers import ALWAYS
    from aasist.service.settings import Settings

    document = create_app(Settings()).openapi()
    parts = [
        operation_of(f"{method.upper()} {path}", operation, ALWAYS)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    said = ", ".join(map(str, ALWAYS))
    parts.insert(0, f"Besides what is listed, every address may answer {said}.\n")
    parts.append("## Objects\n")
    parts += [object_of(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join(parts)


def operation_of(name: str, operation: dict[str, Any], always: tuple[int, ...]) -> str:
    """One address; answers that every address may give are left out."""
    parts = [f"## {name}\n", f"{operation['summary']}. {operation.get('description', '')}".strip() + "\n"]
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{one['name']}`", one["in"], type_of(one["schema"]), one.get("description", "")) for one in parameters
        ]
        parts.append(piped(("parameter", "in", "type", "what it is"), rows))
    if body := operation.get("requestBody"):
        kinds = ", ".join(f"`{kind}`" for kind in body["content"])
        parts.append(f"{body['description']} {kinds}.\n")
    rows = []
    for status, answer in operation["responses"].items():
        if int(status) in always:
            continue
        content = answer.get("content", {})
        schema = next((kind["schema"] for kind in content.values() if "schema" in kind), {})
        code = next((kind["example"]["code"] for kind in content.values() if "example" in kind), "")
        rows.append((status, answer["description"], type_of(schema), f"`{code}`" if code else ""))
    parts.append(piped(("status", "when", "body", "code, for instance"), rows))
    return "\n".join(parts)


def object_of(name: str, schema: dict[str, Any]) -> str:
    rows = [
        (f"`{field}`", type_of(value), value.get("description", "")) for field, value in schema["properties"].items()
    ]
    parts = [f"### {name}\n", f"{schema.get('description', '')}\n", piped(("field", "type", "what it is"), rows)]
    parts += [
        f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n" for example in schema.get("examples", ())
    ]
    return "\n".join(parts)


def type_of(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return f"[{schema['$ref'].rpartition('/')[2]}](#{schema['$ref'].rpartition('/')[2].lower()})"
    if "anyOf" in schema:
        return " or ".join(type_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema['items'])}"
    return schema.get("format") or schema.get("type", "")


def soak() -> str:
    """How the service bore its loads."""
    found = measured("soak.json")
    if not found:
        return "Not measured at length yet: `make soak`.\n"
    full, half, over = found["full"], found["half"], found["overload"]
    before, after = found["memory_mb"]
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(over["statuses"].items()))
    rows = [
        ("`Detector` in one process", f"{found['in_process_per_second']:,.1f} clips/s"),
        (
            "`/v1/detect`, full load",
            f"{full['per_second']:,.1f} clips/s, p50 {full['p50_ms']:,.0f} ms, p99 {full['p99_ms']:,.0f} ms",
        ),
        ("one client", f"p50 {found['alone']['p50_ms']:,.0f} ms, p99 {found['alone']['p99_ms']:,.0f} ms"),
        ("half the load, at random", f"p99 {half['accepted']['p99_ms']:,.0f} ms"),
        (
            "three times the load",
            f"{answers}; accepted: p99 {over['accepted']['p99_ms']:,.0f} ms; memory {before:,} -> {after:,} MB",
        ),
        ("after it", f"as before within {found['recovered_seconds']:g} s"),
    ]
    clips = f"clips of {found['clip_seconds']:g} s, {found['threads']} threads, {found['seconds']:g} s of overload"
    return f"{piped((clips, 'measured'), rows)}\nThe client ran on the same cores. {found['measured']}\n"


def measured(name: str) -> dict[str, Any]:
    """What a benchmark found; empty where it was not run yet."""
    path = ROOT / "docs" / name
    return json.loads(path.read_text()) if path.is_file() else {}


def speed() -> str:
    """Models in runtimes, and the cold command."""
    windows, commands = (measured("performance.json")[part] for part in ("windows", "commands"))
    reference = "; ".join(
        f"{median:,.1f} ms a window on {threads} {'thread' if threads == '1' else 'threads'}"
        for threads, median in windows["reference_ms"].items()
    )
    columns = ("aasist detect, a process of its own", "threads", "seconds", "times real time", "peak MB")
    rows = [
        (row["recording"], str(row["threads"]), f"{row['seconds']:.2f}", f"{row['times_real_time']:,.0f}",
         f"{row['peak_memory_mb']:,.0f}")
        for row in commands["rows"]
    ]  # fmt: skip
    return (
        f"{times_table(windows['rows']).markdown()}\n"
        f"Over {windows['rounds']} rounds. The published architecture in eager PyTorch ({windows['weights']} weights): "
        f"{reference}. {windows['measured']}\n\n"
        f"{Table(columns, tuple(rows)).markdown()}\n{commands['measured']}\n"
    )


def speed_lines() -> str:
    """The quickest row of each of three models, of the same table."""
    windows = measured("performance.json")["windows"]
    quickest: dict[str, dict[str, Any]] = {}
    for row in sorted(windows["rows"], key=lambda row: row["p50_ms"]):
        if row["model"] in HEADLINE_SPEEDS:
            quickest.setdefault(row["model"], row)
    columns = ("model", "runtime", "precision", "threads", "ms a window", "times real time", "times the published one")
    rows = [
        (model, row["runtime"], row["precision"], str(row["threads"]), milliseconds(row["p50_ms"]),
         f"{row['times_real_time']:,.0f}", f"{row['ratio_to_reference']:.1f}")
        for model, row in ((model, quickest[model]) for model in HEADLINE_SPEEDS if model in quickest)
    ]  # fmt: skip
    return f"{Table(columns, tuple(rows)).markdown()}\n{windows['measured']}\n"


def roofline() -> str:
    """Layers of the models in their runtimes against the peaks of the machine, as far as they were measured."""
    windows = measured("performance.json")["windows"]
    if "layers" not in windows:
        return "Not measured yet: `python benchmarks/speed.py`.\n"
    parts = []
    for peaks in windows["peaks"]:
        rates = ", ".join(f"{rate:,.0f} GFLOP/s in {precision}" for precision, rate in peaks["gflops"].items())
        parts.append(f"Peaks, threads: {peaks['threads']}: {rates}; {peaks['gigabytes']:,.1f} GB/s copied.\n")
    for contender, layers in windows["layers"].items():
        table = layers_table([LayerReached(**layer) for layer in layers]).markdown()
        parts.append(f"<details><summary>{contender}</summary>\n\n{table}\n</details>\n")
    return "\n".join(parts)


def linear() -> str:
    """How time and memory grow with length and number."""
    found = measured("linear.json")
    if not found:
        return "Not measured yet: `python benchmarks/linear.py`.\n"
    hour, (lengths, files) = found["hour"], (found["lengths"], found["files"])
    spent = {stage: hour[stage] for stage in ("decode", "speech", "scoring")}
    shares = ", ".join(f"{stage} {100 * seconds / sum(spent.values()):.0f} %" for stage, seconds in spent.items())
    powers = found["exponents"]
    grown = ", ".join(f"of {name} {power:.2f}" for name, power in powers.items() if power is not None)
    rows = [(f"{row['minutes']:g} min", row) for row in lengths]
    rows += [(f"{row['files']:,} files of {found['file_seconds']} s", row) for row in files]
    columns = (f"aasist detect, {found['threads']} threads", "seconds", "peak MB")
    cells = tuple((name, f"{row['seconds']:.2f}", f"{row['peak_memory_mb']:,.0f}") for name, row in rows)
    return (
        f"![Time and peak memory over the length of a recording and the number of files](linear.svg)\n\n"
        f"{Table(columns, cells).markdown()}\n"
        f"Power of the size that the time grows with, beyond the smallest: {grown}. {hour['minutes']:g} minutes take "
        f"{hour['seconds']:.2f} s ({hour['times_real_time']:,.0f} times real time); of the processor's time {shares}. "
        f"{found['measured']}\n"
    )


def written(name: str) -> Callable[[], str]:
    """A table that a benchmark wrote."""
    return (ROOT / "docs" / name).read_text


def quoted(name: str) -> Callable[[], str]:
    """What a command said, as a benchmark kept it."""
    return lambda: f"```text\n{(ROOT / 'docs' / name).read_text()}```\n"


PARTS: dict[str, Callable[[], str]] = {
    "headline": headline,
    "figures": figures,
    "variants": variants,
    "kinds": breakdown("kind"),
    "novelty": breakdown("novelty"),
    "systems": breakdown("attack"),
    "sources": breakdown("source"),
    "stress": stress,
    "failures": failures,
    "metrics-call": metrics_call,
    "conditions": conditions_table,
    "corpora": corpora_table,
    "summary-keys": summary_keys,
    "costs": costs_table,
    "recipes": recipes_table("training"),
    "training-keys": recipe_keys("training"),
    "corpus-recipes": recipes_table("corpus"),
    "corpus-keys": recipe_keys("corpus"),
    "engines": engines_table,
    "cli": command_help,
    "speed": speed,
    "speed-lines": speed_lines,
    "roofline": roofline,
    "linear": linear,
    "metrics-speed": written("metrics-table.md"),
    "training-output": quoted("training-output.txt"),
    "training-step": written("training-step-table.md"),
    "training-data": written("training-data-table.md"),
    "augmentation": written("augmentation-table.md"),
    "graph": written("graph-table.md"),
    "settings": settings_table,
    "api": api,
    "soak": soak,
    "pruning": written("pruning-table.md"),
    "cascade": written("cascade-table.md"),
    "changes": written("changes-table.md"),
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
