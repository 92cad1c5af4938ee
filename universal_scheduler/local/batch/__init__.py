"""An AWS Batch that runs its jobs as processes of this machine.

``api`` speaks HTTP and checks requests (``shapes``), ``service`` has the operations. Below it:

- ``resources`` keeps compute environments, job queues, job definitions and tags; ``jobs`` keeps the jobs;
- ``specs`` reads a submission, with ``parameters``, ``dependencies`` and ``retry`` for its parts;
- ``lifecycle`` takes jobs from SUBMITTED to their end, ``placement`` says which of them starts next and where;
- ``runner`` and ``supervisor`` run processes and know nothing of Batch; ``logs`` ships what they print;
- ``model`` is the data, ``describe`` shows it in the API's shapes; ``naming``, ``pages``, ``clock``, ``errors`` help.

All of it runs in one event loop::

    api = BatchApi(Batch(region=..., account=..., state_dir=..., base_env=..., log_sink=..., runner=ProcessRunner()))
    await api.start()
    if owns(method, path):
        status, headers, body = await api.handle(method, path, headers, body)
    api.call_from_thread("CreateJobQueue", {...})   # from any other thread
    await api.close()                               # kills the jobs that still run
"""

from universal_scheduler.local.batch.api import BatchApi, owns
from universal_scheduler.local.batch.errors import ClientError
from universal_scheduler.local.batch.logs import LogSink, read_lines
from universal_scheduler.local.batch.runner import Exit, ProcessRunner, Runner
from universal_scheduler.local.batch.service import Batch

__all__ = ["Batch", "BatchApi", "ClientError", "Exit", "LogSink", "ProcessRunner", "Runner", "owns", "read_lines"]
