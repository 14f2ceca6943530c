"""Pages of a report: HTML in one file without script, that asks the network for nothing, and the folder it is put in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from aasist.errors import MissingExtra
from aasist.evaluation.charts import printable, require_matplotlib
from aasist.evaluation.folder import folder_of, nearest, put, unwritable


def rendered(template: str, **values: Any) -> str:
    """The page that a template of this room makes of ``values``; their text is escaped.

    Raises ``MissingExtra`` without the extra ``plots``.
    """
    require_extra()
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("aasist.evaluation").joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    return environment.get_template(template).render(**values)


def require_extra() -> None:
    """Raise ``MissingExtra`` where what pages are made with is not installed."""
    require_matplotlib()
    try:
        import jinja2  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("report.html", "plots") from error


def require_place(folder: Path, names: Iterable[str]) -> None:
    """Raise what `write_pages` would raise for want of an extra or of a folder, before the work is done."""
    require_extra()
    above = nearest(folder_of(folder, names))
    if not os.access(above, os.W_OK | os.X_OK):
        raise unwritable(folder, f"there is no permission to write to {above}")


def write_pages(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files by name into ``folder`` -> their paths.

    All of them or none: whatever fails, files that stood there are as before, and others are left alone. Raises
    ``AasistError`` where the folder cannot be written to.
    """
    real = folder_of(folder, contents)
    try:
        put(real, contents)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error
    return [folder / name for name in contents]
