"""The nouns. All are frozen but Call (the one thing that moves through the road), its Route, and the
UpstreamRequest that hooks may edit."""

from gateway.domain.callers import ANONYMOUS, Allowance, Certificate, Inbound, Principal
from gateway.domain.calls import CLIENT_CLOSED, COMPLETE, FAILED, REFUSED, TRUNCATED, Attempt, Call, Record
from gateway.domain.channels import Candidate, Channel, LeftOut, Provider, Route
from gateway.domain.operations import COMPACT, COUNT_TOKENS, GENERATE, Endpoint
from gateway.domain.upstream import REMOVED, Answered, UpstreamReply, UpstreamRequest

__all__ = [
    "ANONYMOUS", "Allowance", "Answered", "Attempt", "CLIENT_CLOSED", "COMPACT", "COMPLETE", "COUNT_TOKENS", "Call",
    "Candidate", "Certificate", "Channel", "Endpoint", "FAILED", "GENERATE", "Inbound", "LeftOut", "Principal",
    "Provider", "REFUSED", "REMOVED", "Record", "Route", "TRUNCATED", "UpstreamReply", "UpstreamRequest",
]  # fmt: skip
