"""What is said of settings that are wrong: which, where it stands, what it holds, and of variables that are no setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from aasist.errors import one_line

ELSEWHERE = frozenset(
    {
        "AASIST_API_KEY",
        "AASIST_CORPUS",
        "AASIST_ENCODERS",
        "AASIST_HOSTILE_UPLOADS",
        "AASIST_KILLED_JOBS",
        "AASIST_LIVE_SECONDS",
        "AASIST_LIVE_STREAMS",
        "AASIST_MUTANTS",
        "AASIST_PICTURES",
        "AASIST_README_PICTURE",
        "AASIST_REFERENCE",
        "AASIST_SCHEMA_EXAMPLES",
        "AASIST_SETTINGS",
        "AASIST_VANISHING_CLIENTS",
    }
)
"""Variables that are no settings, and are read by the command, by tests or by benchmarks."""

MOST_SHOWN = 80
"""Characters of a value."""


def of_setting(
    error: Mapping[str, Any],
    *,
    prefix: str,
    given: Iterable[str],
    environment: Iterable[str],
    file: str | None,
    secret: set[str],
) -> str:
    """One line on the first of pydantic's errors. ``given`` are the settings that options named; those of ``secret`` are not shown."""
    name = ".".join(map(str, error["loc"]))
    if not name:
        return reason_of(error)
    if error["type"] == "extra_forbidden":
        # It may be a secret that is misspelt: its value is not shown.
        return f"{file or ''}: {name}: no such setting; aasist serve --show-settings lists them"
    setting = str(error["loc"][0])
    reason = reason_of(error)
    value = one_line(repr(error["input"]), MOST_SHOWN)
    if setting not in secret and value not in reason:
        reason += f", got {value}"
    return f"{_where(setting, name, prefix, given, environment, file)}: {reason}"


def reason_of(error: Mapping[str, Any]) -> str:
    """Without pydantic's own words before those of ours."""
    return str(error["msg"]).removeprefix("Value error, ")


def of_variables(environment: Iterable[str], prefix: str, settings: Iterable[str]) -> list[str]:
    """A line on each variable that looks as if it were a setting, and is none."""
    known = {f"{prefix}{name.upper()}" for name in settings}
    lines = []
    for name in sorted(environment):
        if name.upper().startswith(prefix) and name.upper() not in known | ELSEWHERE:
            close = get_close_matches(name.upper(), known, n=1)
            hint = f"; is {close[0]} meant?" if close else "; aasist serve --show-settings lists them"
            lines.append(f"{name} is no setting, and means nothing{hint}")
    return lines


def _where(
    setting: str, name: str, prefix: str, given: Iterable[str], environment: Iterable[str], file: str | None
) -> str:
    """Where the value stands that counts: an option wins over the environment, that over the file."""
    if setting in given:
        return f"--{name.replace('_', '-')}"
    variables = [one for one in environment if one.upper() == f"{prefix}{setting.upper()}"]
    if variables:
        return variables[0]
    return f"{file}: {name}" if file else name
