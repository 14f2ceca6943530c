"""What `deploy/` holds is well formed, and names nothing that is not there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from aasist.cli import aasist
from aasist.service.metrics import Metrics
from aasist.service.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
YAML = sorted(DEPLOY.rglob("*.yaml"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "aasist.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()

SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init", "mem_limit", "networks",
    "pids_limit", "ports", "profiles", "read_only", "restart", "secrets", "security_opt", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
"""Of the Compose specification, what is used here: a misspelt key is an error of docker compose, long after the tests."""

PLACES = {"docker.io/library/postgres:", "docker.io/prom/prometheus:", "docker.io/grafana/grafana:"}


def instructions() -> list[tuple[str, str]]:
    """Of the Containerfile, with continued lines joined."""
    joined = CONTAINERFILE.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


EXPRESSIONS = [target["expr"] for panel in panels() for target in panel["targets"]] + [
    rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]
]


def families() -> dict[str, set[str]]:
    """Every name that Prometheus reads from the service, and its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        name, kind = getattr(metric, "_name", None), getattr(metric, "_type", None)
        if name is None:
            continue
        labels = set(metric._labelnames)
        endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[kind]
        found |= {f"{name}{ending}": labels | ({"le"} if ending == "_bucket" else set()) for ending in endings}
    return found


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_each_file_is_yaml_of_one_document(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_of_dashboard_and_alerts_is_there(expression):
    known = families()
    names = re.findall(r"\baasist_\w+", expression)
    assert names or expression.startswith("up{")
    assert set(names) <= set(known)
    by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    chosen = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))
    labels = set().union(*(known[name] for name in names)) | {"job"}
    assert by | chosen <= labels
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    assert not re.search(r"\brate\((?!\w+(?:\{[^}]*\})?\[)", expression), "rate wants a range"


def test_legends_name_labels_that_the_expression_keeps():
    for panel in panels():
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), (panel["title"], label)


def test_the_dashboard_shows_every_metric_that_there_is():
    shown = {name for expression in EXPRESSIONS for name in re.findall(r"\baasist_\w+", expression)}
    stems = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in families()}
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown} == stems


def test_the_panels_of_the_dashboard_do_not_overlap_and_use_the_source_that_is_provisioned():
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_alerts_say_what_they_mean_and_how_urgent_it_is():
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_service_of_compose_is_what_the_specification_has(name):
    service = COMPOSE["services"][name]
    assert set(service) <= SERVICE_KEYS
    assert "build" in service or any(service["image"].startswith(place) for place in PLACES)
    assert ":" in service["image"] or "build" in service, "an image without a tag is another one tomorrow"
    assert "no-new-privileges:true" in service["security_opt"]
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), volume
        else:
            assert source in COMPOSE["volumes"]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "published on this machine alone"
    assert service["restart"] == "unless-stopped"


def test_who_waits_for_health_waits_for_a_service_that_tells_it():
    for service in COMPOSE["services"].values():
        waited = service.get("depends_on", {})
        for name in waited if isinstance(waited, dict) else ():
            assert waited[name]["condition"] == "service_healthy"
            assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_the_database_can_be_reached_by_the_service_alone():
    of_data = {name for name, service in COMPOSE["services"].items() if "data" in service["networks"]}
    assert COMPOSE["networks"]["data"]["internal"] is True
    assert of_data == {"aasist", "database"}


def test_prometheus_is_told_the_path_the_port_and_the_key_that_there_are():
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"]
    assert scrape["metrics_path"] == "/metrics"
    assert scrape["static_configs"][0]["targets"] == ["aasist:8000"]
    (secret,) = COMPOSE["services"]["prometheus"]["secrets"]
    assert scrape["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert "aasist" in COMPOSE["services"]["aasist"]["environment"]["AASIST_ALLOWED_HOSTS"]


def test_every_setting_that_is_given_is_one():
    given = set(COMPOSE["services"]["aasist"]["environment"]) | set(re.findall(r"\b(AASIST_[A-Z_]+)=", CONTAINERFILE))
    assert given
    assert {name.removeprefix("AASIST_").lower() for name in given} <= set(Settings.model_fields)


def test_the_image_runs_as_nobody_and_is_healthy_when_it_can_judge():
    steps = instructions()
    names = [name for name, _ in steps]
    allowed = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
               "ENTRYPOINT", "CMD"}  # fmt: skip
    assert set(names) <= allowed, "ADD fetches and unpacks"
    last = names[len(names) - 1 - names[::-1].index("FROM") :]
    user = next(rest for name, rest in reversed(steps) if name == "USER")
    assert int(user.split(":")[0]) > 1_000
    assert last.index("USER") < last.index("ENTRYPOINT")
    assert ("RUN", "deploy/steps.sh /opt/aasist") in steps
    assert any(name == "HEALTHCHECK" and "healthcheck.py" in rest for name, rest in steps)
    for name, rest in steps:
        if name in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list), "the shell form would not pass SIGTERM on"


def test_what_is_copied_into_the_image_is_there_and_not_ignored():
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in let_in, source


def test_the_steps_are_a_script_that_says_how_it_is_used_and_replaces_nothing(tmp_path):
    script = DEPLOY / "steps.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)
    assert "usage:" in subprocess.run(["bash", script], capture_output=True, text=True, check=False).stderr
    there = subprocess.run(["bash", script, tmp_path], capture_output=True, text=True, check=False)
    assert there.returncode == 2
    assert "is there already" in there.stderr
    assert "deploy/steps.sh" in (ROOT / ".ci" / "run").read_text()


def test_a_container_is_unhealthy_where_nobody_answers():
    done = subprocess.run(
        [sys.executable, DEPLOY / "healthcheck.py"],
        env={"AASIST_PORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:1/readyz" in done.stderr


def test_the_commands_of_the_page_are_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("AASIST_STATE_DIR", str(tmp_path))
    page = (ROOT / "docs" / "deploying.md").read_text()
    lines = re.findall(r"^docker compose run --rm aasist (.*?)(?: > .*| +#.*)?$", page, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        result = CliRunner().invoke(aasist, shlex.split(line))
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("aasist_")
