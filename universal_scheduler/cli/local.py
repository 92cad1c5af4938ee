"""`usched local`: starts, stops and describes embedded engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from universal_scheduler.cli.console import make_console, put_facts, put_json, say
from universal_scheduler.cli.problems import Failure, Problem
from universal_scheduler.cli.target import find_engine
from universal_scheduler.local import engine as engines
from universal_scheduler.local.engine import Engine
from universal_scheduler.local.state import Safety

KEPT = {
    Safety.EPHEMERAL: "nothing: it forgets everything when it stops (--ephemeral)",
    Safety.PROCESS: "everything; a power cut may cost the last second or two (--safety process)",
    Safety.POWER: "everything, also at a power cut (--safety power)",
}


def start_command(
    port: int | None,
    vcpus: int | None,
    safety: Safety,
    run_as: str | None,
    auth: bool,
    foreground: bool,
    as_json: bool,
) -> int:
    number = engines.PORT if port is None else port
    with _engine_errors():
        if foreground:
            engines.become(number, vcpus=vcpus, safety=safety, run_as=run_as, auth=auth)
        engine = engines.start(number, vcpus=vcpus, safety=safety, run_as=run_as, auth=auth)
    if as_json:
        put_json(engine.to_json())
        return 0
    _describe(engine)
    click.echo("\nUse it:  export USCHED_LOCAL=1        (or --local with each command)")
    click.echo(f"AWS SDK: export AWS_ENDPOINT_URL={engine.endpoint} AWS_DEFAULT_REGION=us-east-1")
    if engine.credentials:
        click.echo(f"         export AWS_SHARED_CREDENTIALS_FILE={engine.credentials}")
    else:
        click.echo("         export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
    return 0


def stop_command(port: int | None, keep_jobs: bool, as_json: bool) -> int:
    """Stop the engine on this port, or the only one. If none runs, end what a killed engine has left behind."""
    running = engines.running()
    if port is not None:
        found = engines.status(port)
        homes = [found.state_dir if found else engines.state_dir_of(port)]
    elif len(running) > 1:
        ports = ", ".join(str(engine.port) for engine in running)
        raise Problem(f"{len(running)} embedded engines run, on the ports {ports}.", "Say which to stop with --port.")
    else:
        homes = [engine.state_dir for engine in running] or sorted(engines.engines_dir().glob("engine-*"))
    with _engine_errors():
        stopped = [home for home in homes if home.is_dir() and engines.stop(home, keep_jobs=keep_jobs)]
    if as_json:
        put_json({"stopped": [str(home) for home in stopped]})
    elif stopped:
        for home in stopped:
            click.echo(f"Stopped {home.name}. What its jobs wrote is still in {home / 'data'}")
    else:
        click.echo("No embedded engine runs.")
    return 0


def status_command(port: int | None, as_json: bool) -> int:
    engine = find_engine(port)
    if as_json:
        put_json(engine.to_json())
        return 0
    _describe(engine)
    others = [str(other.port) for other in engines.running() if other.port != engine.port]
    if others:
        click.echo(f"Other engines run on the ports {', '.join(others)}.")
    return 0


def _describe(engine: Engine) -> None:
    console = make_console()
    say(console, f"Embedded engine, process {engine.pid}")
    facts = {
        "AWS endpoint": engine.endpoint,
        "REST API": engine.api,
        "state machine": engine.state_machine_arn,
        "tables": ", ".join(engine.tables),
        "queues": ", ".join(engine.queues),
        "definitions": ", ".join(engine.job_definitions),
        "state": str(engine.state_dir),
        "keeps": KEPT[engine.safety],
        **({"jobs run as": engine.run_as} if engine.run_as else {}),
        **({"keys": f"{engine.credentials}: every request needs them (--auth)"} if engine.credentials else {}),
    }
    put_facts(console, facts)


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except engines.EngineError as error:
        raise Failure(str(error)) from error
