"""The log: one JSON object a line on standard error, without audio, keys, addresses asked for, or names of files."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

LOG = logging.getLogger("aasist.service")

_OWN = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """A record with its ``extra`` as one object."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        values: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        values |= {name: value for name, value in vars(record).items() if name not in _OWN and name != "color_message"}
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(values, default=str)


def start_logging() -> None:
    """Send ours and uvicorn's to standard error; its line for every request is replaced by ours, which has no addresses."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonLines())
    for name in ("aasist.service", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [stream]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = False
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").addFilter(_no_addresses)


def _no_addresses(record: logging.LogRecord) -> bool:
    """uvicorn notes WebSockets in the wrong log, with who asked and for what, and takes one that was refused by an answer for a
    failure."""
    return not any(words in str(record.msg) for words in ('"WebSocket ', "without completing handshake"))
