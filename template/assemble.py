"""Puts template.yaml together from its parts: `make template`. SAM, cfn-lint and the engine read that one file."""

from __future__ import annotations

from pathlib import Path

PARTS = Path(__file__).parent
TEMPLATE = PARTS.parent / "template.yaml"
ORDER = (
    "settings",
    "tables",
    "run",
    "triggers",
    "time",
    "arrivals",
    "events",
    "watchdogs",
    "notifications",
    "operations",
    "api",
    "batch",
    "outputs",
)
"""The parts, each named for what it deploys. Those between the first and the last have resources alone."""
NOTE = "# Made from the parts in template/ by `make template`. Change the parts, not this file.\n"
HEADER = "Resources:\n"


def assemble() -> str:
    """The template: the settings, the resources of all parts below one key, the outputs."""
    first, *resources, last = [(PARTS / f"{name}.yaml").read_text(encoding="utf-8") for name in ORDER]
    for name, text in zip(ORDER[1:-1], resources, strict=True):
        if not text.startswith(HEADER):
            raise ValueError(f"template/{name}.yaml must begin with {HEADER.strip()}")
    return "\n".join([NOTE + first, HEADER + "\n".join(text.removeprefix(HEADER) for text in resources), last])


if __name__ == "__main__":
    TEMPLATE.write_text(assemble(), encoding="utf-8")
