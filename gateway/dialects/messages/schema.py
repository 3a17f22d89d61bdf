"""The words of Anthropic Messages beside the neutral ones: tables only.

Source: the types of Anthropic's Python SDK 2.11 and platform.claude.com/docs/en/api/messages.
"""

DIALECT = "messages"

# Prompt field -> member of a Messages request; what is missing here cannot be said.
FIELDS = {
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
    "reasoning": "thinking",
    "output": "output_config.format",
    "user": "metadata.user_id",
    "service_tier": "service_tier",
}

# Values that ask for what Messages does anyway: nothing is lost when they are not written.
SAID_BY_SILENCE = {
    "n": (1,),
    "store": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "verbosity": ("medium",),
    "modalities": (["text"],),
}

# stop_reason -> the neutral reason. ``compaction``: the reply is a summary, and complete.
STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_length",
    "compaction": "stop",
}

# The neutral reason -> stop_reason. ``error`` has no word: a refusal is what a client does not
# take for a finished answer (streams say it with an error event instead).
STOP_WORDS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context_length": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "error": "refusal",
}

# error.type -> HTTP status (platform.claude.com/docs/en/api/errors).
ERROR_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# A Fault's kind -> error.type; any other kind is an api_error.
ERROR_TYPES = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "payment": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "conflict": "invalid_request_error",
    "too_large": "request_too_large",
    "rate_limited": "rate_limit_error",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
    "unavailable": "overloaded_error",
}

# service_tier of a request, theirs -> neutral (OpenAI's words) and back. "auto" may use priority
# capacity, "standard_only" may not: OpenAI's "default".
TIERS_ASKED = {"auto": "auto", "standard_only": "default"}
TIERS_TO_ASK = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard_only": "standard_only"}

# usage.service_tier of a reply, theirs -> neutral and back.
TIERS_SERVED = {"standard": "default", "priority": "priority", "batch": "batch"}
TIERS_TO_REPORT = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
