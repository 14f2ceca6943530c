"""The command ``aasist``: one verb a file, each imported only when it is called."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import ExitStack, redirect_stdout
from importlib import import_module

import click

from aasist.errors import AasistError

VERBS = {
    "detect": "Judge recordings: real or fake, and where.",
    "stream": "Watch a call while it lasts: JSON events.",
    "evaluate": "Measure a model on a corpus: error rates with intervals, stress, report.",
    "metrics": "Error rates, costs and calibration of a score file.",
    "compare": "Is one score file better than another?",
    "fuse": "Average the score files of several models, or fit their weights on dev.",
    "robustness": "How far does the error rate rise under attacks by one who knows the model?",
    "sasv": "a-DCF and t-EER of scores of spoofing-robust speaker verification.",
    "calibrate": "Map scores to calibrated llr, and choose the threshold.",
    "train": "Train a model by a recipe; stop and resume as you like.",
    "runs": "Compare trainings in a table and a plot.",
    "probe": "Can loudness, bandwidth, silence or codecs tell the classes of a training set apart?",
    "corpus": "Make spoofed trials from anyone's recordings.",
    "bench": "Time models on this machine in every runtime, and say which to take.",
    "serve": "Serve verdicts over HTTP.",
    "models": "List the models that are shipped, or say what is in a model file.",
    "export": "Write a model as ONNX, or in OpenVINO's format.",
    "quantize": "Write a model as int8 or fp16, and what that saves and costs.",
    "prune": "Take channels out of a checkpoint's encoder: less work, to be fine-tuned.",
}

READER_LEFT = 128 + signal.SIGPIPE
"""Exit code where whoever read standard output has seen enough (``aasist detect ... | head``): what the shell says of
every tool that ends so. Nothing is said on stderr, but not all was done, so it is not 0."""


class Verbs(click.Group):
    """Loads a verb's module when it is called; its help line is known without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"aasist.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would exit with 1
            ctx.exit(READER_LEFT)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aasist", message="%(version)s")
def aasist() -> None:
    """Tell recorded human speech from synthetic, converted or cloned speech."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit; what a user can mend is one line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path may hold bytes that are no text, and a terminal may not speak UTF-8: neither may end the work.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # So that a draft goes with us, as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        if sys.stdout is None:  # closed by the caller: the files that -o and --plot name are still wanted
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        code = run(arguments)
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """The command's exit code."""
    complaint, code = "", 1
    try:
        done = aasist.main(arguments, prog_name="aasist", standalone_mode=False)
        code = done if isinstance(done, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complaint, code = "stopped", 128 + signal.SIGINT
    except AasistError as error:
        complaint = error.message
    except OSError as error:
        complaint = f"cannot write: {error.strerror or error}"
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer cannot be written; Python would try again at exit, and complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            code = code or READER_LEFT
        else:
            complaint, code = f"cannot write: {error.strerror or error}", 1
    if complaint:
        click.echo(f"aasist: {complaint}", err=True)
    return code
