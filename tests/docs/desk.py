"""What a page's examples share while they are run, and what a wrong one raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import ParamValidationError, UnknownServiceError
from botocore.validate import validate_parameters

ROOT = Path(__file__).parents[2]


class Wrong(Exception):
    """What is wrong with the example that is being looked at, and how many lines below its first."""

    def __init__(self, what: str, below: int = 0) -> None:
        super().__init__(what)
        self.below = below


@dataclass
class Desk:
    """What the examples of one page have left behind: files in a directory, and the variables of a shell."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    """What stands below the command that is being looked at."""

    def file(self, name: str) -> Path:
        """A block of this page that has this name, or a file of the repository."""
        for directory in (self.directory, ROOT):
            if (directory / name).exists():
                return directory / name
        raise Wrong(f"the file '{name}' is neither in the repository nor a block of this page (mark it: file={name})")


@cache
def aws_service(name: str) -> Any:
    """botocore's own model of a service."""
    try:
        return botocore.session.get_session().get_service_model(name)
    except UnknownServiceError:
        raise Wrong(f"AWS has no service '{name}'") from None


def check_aws_input(service: str, operation: str, document: Any) -> None:
    model = aws_service(service)
    if operation not in model.operation_names:
        raise Wrong(f"{service} has no operation {operation}")
    try:
        validate_parameters(document, model.operation_model(operation).input_shape)
    except ParamValidationError as error:
        raise Wrong(" ".join(str(error).split())) from None
