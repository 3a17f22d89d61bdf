"""The Responses protocol as tables: member names, item types, endings, error codes.

Sources: OpenAI's OpenAPI document (the SDK's ``openai.types.responses``) and the Open Responses
specification of 2026-04-24.
"""

from decimal import Decimal
from typing import Any

from gateway.errors import Fault, kind_of

DIALECT = "responses"

# Prompt field -> member of the request.
FIELDS = {
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "logprobs": "include",
    "top_logprobs": "top_logprobs",
    "reasoning": "reasoning",
    "output": "text.format",
    "verbosity": "text.verbosity",
    "user": "user",
    "metadata": "metadata",
    "store": "store",
    "service_tier": "service_tier",
    "cache_key": "prompt_cache_key",
}

ENCRYPTED_REASONING = "reasoning.encrypted_content"
TEXT_LOGPROBS = "message.output_text.logprobs"

CALL_TYPES = {"function_call": "function", "custom_tool_call": "custom"}
RESULT_TYPES = {"function_call_output": "function", "custom_tool_call_output": "custom"}

# Neutral finish -> (status, incomplete_details.reason); what is not here is ``completed``.
ENDINGS = {
    "length": ("incomplete", "max_output_tokens"),
    "context_length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "refusal": ("incomplete", "content_filter"),  # by a classifier, unless the model says it
    "pause": ("incomplete", None),
    "error": ("failed", None),
}

# incomplete_details.reason -> neutral finish; an unknown one is nearest to ``length``.
INCOMPLETE = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_messages": "pause",
    "content_filter": "content_filter",
    "steered": "stop",
}

SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
FOREIGN_TIERS = {"standard": "default", "standard_only": "default", "on_demand": "default"}

# The codes that Response.error may have, and those that Codex acts upon.
ERROR_CODES = frozenset({
    "server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy",
    "misalignment_policy_violation", "vector_store_timeout", "invalid_image", "invalid_image_format",
    "invalid_base64_image", "invalid_image_url", "image_too_large", "image_too_small", "image_parse_error",
    "image_content_policy_violation", "invalid_image_mode", "image_file_too_large",
    "unsupported_image_media_type", "empty_image_file", "failed_to_download_image", "image_file_not_found",
    "context_length_exceeded", "insufficient_quota", "usage_not_included", "server_is_overloaded", "slow_down",
})  # fmt: skip
CODE_OF_KIND = {
    "rate_limited": "rate_limit_exceeded",
    "invalid_request": "invalid_prompt",
    "too_large": "invalid_prompt",
    "overloaded": "server_is_overloaded",
}
ERROR_TYPES = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "payment": "insufficient_quota",
    "permission": "permission_error",
    "not_found": "invalid_request_error",
    "too_large": "invalid_request_error",
    "rate_limited": "rate_limit_error",
    "conflict": "conflict_error",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
    "unavailable": "service_unavailable_error",
    "upstream": "upstream_error",
}
# What an error inside a stream or a 200 reply would have been as an HTTP status; else 502.
STATUS_OF_CODE = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "usage_not_included": 403,
    "server_is_overloaded": 529,
    "slow_down": 529,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "authentication_error": 401,
}


def string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list:
    return value if isinstance(value, list) else []


def integer(value: Any) -> int | None:
    """*value* when it is a whole number (some servers write ``12.0``)."""
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and value.is_finite() and -(10**15) < value < 10**15 and value == int(value):
        return int(value)
    return None


def fault_of(error: Any, message: str) -> Fault:
    """An upstream's error object ``{type?, code, message, param?}`` as a Fault; *message* if it has none."""
    error = mapping(error)
    code, kind = error.get("code"), error.get("type")
    status = integer(code)
    if status is not None:  # some relays put the HTTP status there
        code = str(status)
    if status is None or not 400 <= status <= 599:
        status = STATUS_OF_CODE.get(string(code)) or STATUS_OF_CODE.get(string(kind)) or 502
    return Fault(
        status,
        kind_of(status),
        string(error.get("message")) or message,
        code=string(code) or None,
        param=string(error.get("param")) or None,
        type=string(kind) or None,
    )
