"""What the command says of a command that does not exist: which one is meant, by its spelling or by the word of other
tools."""

from __future__ import annotations

from collections.abc import Sequence

import click

from universal_scheduler.cli.printable import printable

ALIKE = 0.75
"""How similar a word must be to the name of a command, so that the name is proposed. Two of four letters may be
swapped."""

LIST = "List the newest runs with: usched runs", "List the jobs of the queues with: usched jobs"
SHOW = ("Show a schedule, or its newest run, with: usched show {id}",)
UP = "Start the embedded engine with: usched local start"
DOWN = "Stop the embedded engine with: usched local stop"
START = "Start a run with: usched run {id}", UP
STOP = "End a run with: usched cancel {id}", DOWN
STORE = ("Store a schedule, or change it, with: usched apply {file}",)
CHECK = ("Check a schedule without running it with: usched simulate {file}",)
LOGS = ("Print what a job printed with: usched logs {id} JOB",)
AGAIN = "Restart a run that has ended with: usched restart {id}", "Run single jobs again with: usched rerun {id} JOB"
PAUSE = "Keep triggers from starting it with: usched pause {id}", "Hold single jobs with: usched hold {id} JOB"
RESUME = (
    "Let triggers start a schedule again with: usched resume {id}",
    "Release held jobs with: usched release {id} JOB",
)
DELETE = (
    "No command deletes a schedule. Keep triggers from starting it with: usched pause {id}",
    "To delete it, delete its item in the table of schedules: aws dynamodb delete-item",
)
FORCE = ("Mark a failed job as SUCCEEDED with: usched force-ok {id} JOB",)
OTHER_TOOLS = {
    "list ls ps history schedules": LIST,
    "status get describe inspect info cat view": SHOW,
    "start trigger submit execute exec launch": START,
    "stop kill abort terminate end": STOP,
    "create add put store new deploy register update edit set": STORE,
    "validate check lint plan dry-run dryrun": CHECK,
    "log tail output print": LOGS,
    "retry again resubmit": AGAIN,
    "suspend disable freeze deactivate": PAUSE,
    "unpause unsuspend enable activate unfreeze continue": RESUME,
    "delete del rm remove drop destroy unregister": DELETE,
    "up serve server": (UP,),
    "down shutdown": (DOWN,),
    "force force-success mark-success": FORCE,
    "version": ("Print the version with: usched --version",),
    "help": ("List the commands with: usched --help",),
}
ADVICE = {word: advice for words, advice in OTHER_TOOLS.items() for word in words.split()}


class Commands(click.Group):
    """A group of commands that explains a command which it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word, *more = args
        if self.get_command(ctx, word) is None and not word.startswith("-") and not ctx.resilient_parsing:
            group = "usched" if ctx.parent is None else f"usched {ctx.info_name}"
            ctx.fail(no_such_command(group, word, more, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def no_such_command(group: str, word: str, more: Sequence[str], known: Sequence[str]) -> str:
    """What to say of an unknown word. `more` are the words behind it: the first is taken as the schedule or the
    file."""
    import difflib

    message = f"There is no command '{printable(f'{group} {word}')}'."
    named = next((printable(each) for each in more if not each.startswith("-")), "")
    advice = ADVICE.get(word.lower(), ()) if group == "usched" else ()
    if lines := [line.format(id=named or "ID", file=named or "FILE") for line in advice]:
        return "\n       ".join([message, *lines])
    if close := difflib.get_close_matches(word, known, n=1, cutoff=ALIKE):
        return f"{message} Did you mean '{group} {close[0]}'?"
    return f"{message}\n       The commands are {', '.join(known)}."
