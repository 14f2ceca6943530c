"""What can go wrong with what a user gave us: one class, one stable code, one sentence."""


class AasistError(Exception):
    """Something a user gave us cannot be used.

    ``code`` is stable and meant for programs (``too_short``, ``unknown_model``, ...); ``message`` is one line for
    people: what was wanted, what came, what to do. Both stand in the JSON of a verdict and in the HTTP API.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class AudioError(AasistError):
    """A recording cannot be judged: unreadable, empty, too short, too long, not audio."""


class ModelError(AasistError):
    """A model cannot be used: unknown, altered, not ours, or its runtime is missing."""


class ProtocolError(AasistError):
    """A file of trials or scores cannot be used; the message starts with its name and, where there is one, the line."""

    def __init__(self, message: str, *, path: object, line: int | None = None, code: str = "protocol") -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(code, f"{where}: {message}")


class MissingExtra(AasistError):
    """A part that the light install leaves out is needed; the message is the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            "missing_extra", f"{what} needs the extra {extra!r}: pip install '.[{extra}]' in the folder of aasist"
        )
        self.extra = extra


def one_line(said: object, most: int = 200) -> str:
    """What an error of another's code says, in one line of at most so many characters, to stand in one of ours."""
    return " ".join(str(said).split())[:most]
