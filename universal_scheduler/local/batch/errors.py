"""The errors that callers of the Batch API get."""

from __future__ import annotations


class ClientError(Exception):
    """The request cannot be carried out, through the caller's fault: ``ClientException`` on the wire.

    https://docs.aws.amazon.com/batch/latest/APIReference/CommonErrors.html
    """
