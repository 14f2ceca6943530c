"""Jobs that end badly, for `aasist.bench.child`."""

import os
import signal
import time

from aasist.errors import AasistError


def echoes(say, *, text):
    print("printed by a library")
    os.system("echo by a program")
    say({"heard": text})
    return {"text": text, "threads": os.environ.get("SOME_THREADS")}


def refuses(say):
    raise AasistError("model", "it cannot be")


def raises(say):
    raise RuntimeError("unexpected")


def exhausts(say):
    raise MemoryError


def hangs(say):
    say({"at": 7})
    time.sleep(60)


def dies(say, *, by):
    os.kill(os.getpid(), getattr(signal, by))


def leaves(say):
    os._exit(3)
