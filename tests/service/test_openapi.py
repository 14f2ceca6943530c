"""The OpenAPI document: it is valid, it has examples that are true, and what is asked by it at random gets no 500."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from pydantic import TypeAdapter

from aasist import service
from aasist.service import schemas
from aasist.service.app import create_app
from aasist.service.settings import Settings

from ..conftest import ROOT
from .live import Live
from .test_detect import form

EXAMPLES = int(os.environ.get("AASIST_SCHEMA_EXAMPLES", "15"))
"""By operation; make soak asks for many more."""

DOCUMENT = create_app(Settings(requests_per_minute=0)).openapi()
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))


@schemathesis.serializer("audio/*", "video/*")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


NEVER = [
    # A body in the wrong type is 415 or 422 here, and a positive one may well be no recording.
    schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
    schemathesis.checks.CHECKS.get_one("negative_data_rejection"),
    # Without a key everything is open on loopback.
    schemathesis.checks.CHECKS.get_one("ignored_auth"),
]


@pytest.fixture(scope="module")
def live(tmp_path_factory, loudness_onnx):
    with Live(tmp_path_factory.mktemp("live"), model=loudness_onnx, max_jobs_waiting=10_000) as running:
        yield running


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_whatever_is_asked_is_answered_as_documented(case, live):
    response = case.call(base_url=live.url, timeout=30)
    case.validate_response(response, excluded_checks=NEVER)
    assert response.status_code < 500 or response.status_code == 503


def codes_of_the_service() -> set[str]:
    """All that stand in its sources where a problem is made."""
    places = {"Problem": 1, "answer": 1, "_too_many": 0, "AudioError": 0}
    found = set()
    for path in Path(service.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            values = [word.value for word in node.keywords if name == "busy" and word.arg == "code"]
            if name in places and len(node.args) > places[name]:
                values.append(node.args[places[name]])
            found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return found


def test_every_code_is_in_the_docs():
    found = codes_of_the_service()
    assert {"busy", "too_large", "probing", "stopping", "key_required", "decoder"} <= found | {"busy"}
    text = (ROOT / "docs" / "api.md").read_text()
    assert {code for code in found if f"`{code}`" not in text} == set()


def test_what_a_path_allows_is_all_told(client):
    response = client.put("/v1/jobs/" + "0" * 32)
    assert (response.status_code, response.headers["Allow"]) == (405, "DELETE, GET")


def test_it_is_openapi_3_1_and_every_answer_is_described():
    assert DOCUMENT["openapi"].startswith("3.1")
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            for status, answer in operation["responses"].items():
                assert answer["description"], (method, path, status)
                if status[0] in "45":
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
    text = json.dumps(DOCUMENT)
    assert "HTTPValidationError" not in text
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        assert reference.rpartition("/")[2] in DOCUMENT["components"]["schemas"]


def test_examples_are_of_their_schemas():
    for name in ("Verdict", "Job", "Problem"):
        model = getattr(schemas, name)
        for example in DOCUMENT["components"]["schemas"][name]["examples"]:
            TypeAdapter(model).validate_python(example)


def test_what_is_answered_is_of_its_schema(client, speech):
    schemas.Verdict.model_validate(client.post("/v1/detect", **form(speech)).json())
    schemas.Verdict.model_validate(client.post("/v1/detect?timeline=1", **form(speech)).json())
    job = client.post("/v1/jobs", **form(speech)).json()
    schemas.Job.model_validate(job)
    schemas.Job.model_validate(client.get(f"/v1/jobs/{job['id']}").json())
    schemas.Models.model_validate(client.get("/v1/models").json())
    schemas.Health.model_validate(client.get("/readyz").json())
    schemas.Problem.model_validate(client.get("/nothing").json())
    assert client.get("/openapi.json").json() == json.loads(json.dumps(DOCUMENT))


def test_the_pages_that_load_scripts_from_elsewhere_are_not_there(client):
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404
