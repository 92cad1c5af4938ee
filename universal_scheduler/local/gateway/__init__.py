"""The embedded engine's API Gateway data plane: executes the deployed OpenAPI body of a REST API.

`RestApi` is the entry; `AwsRequest` is what its backend gets, `BackendUnavailable` what that may raise.
"""

from universal_scheduler.local.gateway.api import RestApi
from universal_scheduler.local.gateway.definition import InvalidDefinition
from universal_scheduler.local.gateway.integrations import AwsRequest, BackendUnavailable
from universal_scheduler.local.gateway.responses import Answer

__all__ = ["Answer", "AwsRequest", "BackendUnavailable", "InvalidDefinition", "RestApi"]
