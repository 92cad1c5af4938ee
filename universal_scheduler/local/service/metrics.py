"""The engine's metrics as Prometheus reads them.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from universal_scheduler.local.state import Safety

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]

_EMBEDDED = '"CloudWatchMetrics"'
_MAX_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples. A counter's name ends in `_total`, and so do the sum and count of a summary."""

    name: str
    kind: str
    help: str
    samples: Iterable[Sample]

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            yield f"{self.name}{_labels(labels)} {value:.15g}"


def text(families: Iterable[Family]) -> str:
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _labels(labels: Labels) -> str:
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}" if labels else ""


class ProductMetrics:
    """Counts what the functions write into their logs in the embedded metric format: the metrics that CloudWatch has of
    a stage on AWS. They begin at 0 when the engine starts.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: Counter[tuple[str, str, Labels]] = Counter()
        self._counts: Counter[tuple[str, str, Labels]] = Counter()

    def read_log(self, log: str) -> None:
        """What a function has printed in one call."""
        if _EMBEDDED in log:
            for line in log.splitlines():
                if _EMBEDDED in line:
                    self._read_line(line)

    def _read_line(self, line: str) -> None:
        try:
            entry = json.loads(line)
            directives = entry["_aws"]["CloudWatchMetrics"]
            for directive in directives:
                [names] = directive["Dimensions"]
                labels = tuple((_snake(name), str(entry[name])) for name in names)
                for metric in directive["Metrics"]:
                    given = entry[metric["Name"]]
                    values = [float(value) for value in (given if isinstance(given, list) else [given])]
                    key = (metric["Name"], metric.get("Unit", "None"), labels)
                    with self._lock:
                        self._sums[key] += sum(values)  # type: ignore[assignment]  # a Counter of floats
                        self._counts[key] += len(values)
        except (ValueError, KeyError, TypeError):  # somebody's function writes something else
            return

    def families(self) -> Iterator[Family]:
        with self._lock:
            sums, counts = dict(self._sums), dict(self._counts)
        for name, unit in sorted({(name, unit) for name, unit, _ in sums}):
            of_this = {labels: key for key in sums if key[:2] == (name, unit) for labels in (key[2],)}
            about = f"The stage's metric {name}, since the engine started."
            if unit == "Count":
                samples = [(labels, sums[key]) for labels, key in of_this.items()]
                yield Family(f"usched_{_snake(name)}_total", "counter", about, samples)
            else:
                base = f"usched_{_snake(name)}_{_snake(unit)}" if unit != "None" else f"usched_{_snake(name)}"
                yield Family(f"{base}_sum", "counter", about, [(labels, sums[key]) for labels, key in of_this.items()])
                number = [(labels, counts[key]) for labels, key in of_this.items()]
                yield Family(f"{base}_count", "counter", f"How many values {base}_sum has.", number)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def engine_families(home: Path, safety: Safety, started: float, state_files: Iterable[Path]) -> Iterator[Family]:
    """What every engine has: its release, its process, its disk and its files."""
    labels = (("release", version("universal-scheduler")), ("safety", str(safety)))
    yield Family("usched_engine_info", "gauge", "The release, and what outlives the engine.", [(labels, 1)])
    yield _one("process_start_time_seconds", "gauge", "When the engine started, in Unix time.", started)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    yield _one("process_cpu_seconds_total", "counter", "Processor time of the engine's own process.", cpu)
    yield _one("process_resident_memory_bytes", "gauge", "Memory of the engine's own process.", _memory())
    disk = shutil.disk_usage(home)
    yield _one("usched_disk_free_bytes", "gauge", "Free space on the disk of the state directory.", disk.free)
    yield _one("usched_disk_size_bytes", "gauge", "Size of the disk of the state directory.", disk.total)
    sizes = [((("file", path.name),), float(_size(path))) for path in state_files]
    yield Family("usched_state_bytes", "gauge", "Size of the files in which the state is.", sizes)


def _one(name: str, kind: str, about: str, value: float) -> Family:
    return Family(name, kind, about, [((), value)])


def _size(path: Path) -> int:
    """A file with its log of writes."""
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += os.stat(f"{path}{suffix}").st_size
        except FileNotFoundError:
            continue
    return total


def _memory() -> float:
    """https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html; where there is no /proc, the most it ever was."""
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAX_RSS_UNIT)


def by_labels(
    name: str, about: str, kind: str, label: Iterable[str], counts: Mapping[tuple[str, ...], float]
) -> Family:
    """A family from a table of counts, each under the values of its labels."""
    names = tuple(label)
    samples = [(tuple(zip(names, values, strict=True)), float(count)) for values, count in sorted(counts.items())]
    return Family(name, kind, about, samples)


Source = Callable[[], Iterable[Family]]
"""Tells what a service of the engine has now."""
