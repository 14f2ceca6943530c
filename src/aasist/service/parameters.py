"""Parameters of a request: what is not known is refused, for one that is misspelt would do nothing and not say so."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import TypeAdapter, ValidationError

from aasist.errors import one_line
from aasist.service.problems import Problem

MOST_SHOWN = 40
"""Characters of a name that came."""

_FLAG: TypeAdapter[bool] = TypeAdapter(bool)


def refuse_unknown(request: Request) -> None:
    """`Problem` 400 ``invalid_request`` for a name in the query that the route does not have."""
    known = _known(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            raise Problem(400, "invalid_request", f"query: {unknown('parameter', name, known)}")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """What came, and what there is."""
    there = ", ".join(known)
    return f"no {what} {one_line(repr(name), MOST_SHOWN)}; {f'there are: {there}' if there else 'there are none here'}"


def flag(name: str, value: str) -> bool:
    """A field of a form, read as the parameter of the query is; `Problem` 400 ``invalid_request`` for what is neither true nor false."""
    try:
        return _FLAG.validate_python(value)
    except ValidationError:
        raise Problem(400, "invalid_request", f"form.{name}: must be 1 or 0, true or false") from None


def _known(dependant: Dependant) -> list[str]:
    """Of a route and of what it depends on."""
    names = [field.alias for field in dependant.query_params]
    return names + [name for one in dependant.dependencies for name in _known(one)]
