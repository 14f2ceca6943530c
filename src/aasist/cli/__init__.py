"""The command ``aasist``: one verb a file, each imported only when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from aasist.errors import AasistError

VERBS = {
    "detect": "Judge recordings: real or fake, and where.",
    "models": "List the models that are shipped.",
    "export": "Write a checkpoint as ONNX.",
}


class Verbs(click.Group):
    """Loads a verb's module when it is called; its help line is known without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"aasist.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `aasist detect ... | head`: the reader has seen enough; click would exit with 1
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aasist", message="%(version)s")
def aasist() -> None:
    """Tell recorded human speech from synthetic, converted or cloned speech."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command; what a user can mend is one line on stderr, never a traceback."""
    try:
        aasist.main(arguments, prog_name="aasist")
    except AasistError as error:
        click.echo(f"aasist: {error.message}", err=True)
        sys.exit(2)
