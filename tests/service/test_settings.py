"""Settings: by option, environment and file, in this order; printed as a file; refused where they make no sense."""

from __future__ import annotations

import tomllib

import pytest

from aasist.errors import AasistError
from aasist.service.settings import Settings, read_settings


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("AASIST_PORT", raising=False)
    path = tmp_path / "aasist.toml"
    path.write_text('port = 1001\nmodel = "small"\ncors_origins = ["https://a.example"]\n')
    monkeypatch.setenv("AASIST_SETTINGS", str(path))
    return path


def test_an_option_stands_above_the_environment_and_that_above_the_file(file, monkeypatch):
    monkeypatch.setenv("AASIST_PORT", "1002")
    assert read_settings(file).port == 1002
    assert read_settings(file, port=1003, host=None).port == 1003
    monkeypatch.delenv("AASIST_PORT")
    found = read_settings(file)
    assert (found.port, found.model, found.cors_origins) == (1001, "small", ("https://a.example",))


def test_lists_are_separated_by_commas_in_the_environment(monkeypatch):
    monkeypatch.setenv("AASIST_WEBHOOK_ALLOW", "10.0.0.0/8, hooks.example ,")
    assert read_settings().webhook_allow == ("10.0.0.0/8", "hooks.example")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot .*no such setting"),
        ("port = 70000", r"port \(AASIST_PORT\): .*65535"),
        ("threshold = nan", "threshold"),
        ('database = "mysql://x"', "database"),
        ('secret = "short"', "secret"),
        ("max_bytes = 10_000_000_000", "max_in_flight_bytes"),
        ("port = ", "aasist.toml"),
        ("insecure = true\nrequire_keys = true", "contradict"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(file, text, said):
    file.write_text(text)
    with pytest.raises(AasistError, match=said) as caught:
        read_settings(file)
    assert caught.value.code == "settings"


def test_a_secret_is_not_told_in_the_error_either(file):
    file.write_text('secret = "hunter2"')
    with pytest.raises(AasistError) as caught:
        read_settings(file)
    assert "hunter2" not in caught.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AASIST_SETTINGS", "")
    with pytest.raises(AasistError, match="no settings file"):
        read_settings(tmp_path / "none.toml")


def test_what_is_shown_is_a_settings_file_that_means_the_same_without_secrets(tmp_path):
    given = Settings(port=99, cors_origins=("https://a.example",), secret="s" * 40, database="postgresql://u:word@h/n")
    shown = given.shown()
    assert "word" not in shown
    assert "sss" not in shown
    values = tomllib.loads(shown)
    assert Settings(**values, secret=given.secret, database=given.database) == given
    assert set(values) | {"secret", "database"} >= {
        name for name in Settings.model_fields if getattr(given, name) is not None
    }


def test_every_setting_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("host", "insecure", "asked"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("localhost", False, False),
        ("0.0.0.0", False, True),
        ("192.168.1.5", False, True),
        ("example.org", False, True),
        ("0.0.0.0", True, False),
    ],
)
def test_keys_are_asked_for_wherever_others_can_reach_it(host, insecure, asked):
    assert Settings(host=host, insecure=insecure).keys_required is asked
    if not insecure:
        assert Settings(host=host, require_keys=True).keys_required
