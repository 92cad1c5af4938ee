"""template.yaml is made from the parts in template/, each of which deploys what its name says."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASSEMBLE = runpy.run_path(str(ROOT / "template" / "assemble.py"))
LONGEST_PART = 300


def test_the_template_is_what_its_parts_make() -> None:
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert template == ASSEMBLE["assemble"](), "change the parts in template/, then run `make template`"


def test_every_part_is_put_in() -> None:
    assert sorted(ASSEMBLE["ORDER"]) == sorted(path.stem for path in (ROOT / "template").glob("*.yaml"))


def test_a_part_is_short_enough_to_be_read() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "template").glob("*.yaml")}
    assert max(lengths.values()) <= LONGEST_PART, lengths
