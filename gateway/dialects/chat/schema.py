"""The words of Chat Completions, as tables.

Sources: OpenAI's API reference (chat/completions); for the members that vendors add, OpenRouter's
(reasoning, reasoning_details, images), DeepSeek's (reasoning_content) and Google's notes on
OpenAI compatibility (extra_content).
"""

DIALECT = "chat"

# Prompt field -> member of the request. ``top_k`` is not here: OpenAI answers it with a 400.
FIELDS = {
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
    "max_tokens": "max_completion_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "n": "n",
    "reasoning": "reasoning_effort",
    "output": "response_format",
    "verbosity": "verbosity",
    "modalities": "modalities",
    "user": "user",
    "metadata": "metadata",
    "store": "store",
    "service_tier": "service_tier",
    "cache_key": "prompt_cache_key",
    "turn.name": "messages.name",
}

# The fields whose value is the same in the Prompt and in the document.
PLAIN = (
    "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs",
    "top_logprobs", "n", "verbosity", "modalities", "user", "metadata", "cache_key",
)  # fmt: skip

# What a Target's traits may say of a vendor that speaks chat.
TRAITS = frozenset({
    "max_tokens",           # knows only the old name of max_completion_tokens
    "no_developer",         # takes system messages only
    "reasoning_content",    # wants thinking replayed in that member (DeepSeek, Kimi)
    "reasoning_details",    # takes OpenRouter's array with signatures and encrypted thinking
    "reasoning",            # takes OpenRouter's reasoning object instead of reasoning_effort
    "extra_content",        # takes Google's thought signatures on tool calls
    "cache_control",        # takes Anthropic's cache marks on content parts
    "top_k",                # takes top_k
    "file_url",             # fetches files from URLs itself
    "no_image_url",         # must have the bytes of an image
    "no_video",             # has no video parts
    "no_custom_tools",      # has function tools only
    "no_allowed_tools",     # has no tool_choice that narrows the tools
    "no_stream_options",    # does not know stream_options
    "string_content",       # takes text as one string only
})  # fmt: skip

MOST_CHOICES = 128  # OpenAI's limit of n

# How ``rest`` names a member of a message that only chat knows; the value is in Turn.rest.
IN_TURNS = "messages."

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
DETAILS = ("auto", "low", "high", "original")
SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")

# finish_reason -> Finish.reason: OpenAI's own words first, then those that vendors let through.
FINISHES_READ = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "model_length": "context_length",
    "context_length_exceeded": "context_length",
    "model_context_window_exceeded": "context_length",
    "refusal": "refusal",
    "pause_turn": "pause",
    "sensitive": "content_filter",
    "error": "error",
    "abort": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
OFFICIAL_FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")

# Finish.reason -> finish_reason. ``error`` has no word in chat: ``stop`` would make a broken
# answer look whole, so it takes the one word that says "not what the model wanted to say".
FINISHES_WRITTEN = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "length",  # not finished; stop would say that it is
    "error": "content_filter",
}

# reasoning_details' ``format`` <-> the dialect that the proof means something to. Any other
# format stands for itself: nobody but the upstream it came from can read it.
FORMATS = {
    "messages": "anthropic-claude-v1",
    "responses": "openai-responses-v1",
    "gemini": "google-gemini-v1",
}
FORMAT_DIALECTS = {name: dialect for dialect, name in FORMATS.items()}

# A thinking budget in tokens, up to and including -> effort (above the last: high).
EFFORTS = ((0, "none"), (4096, "low"), (16384, "medium"))

AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
AUDIO_FORMATS = {"audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav", "audio/mp3": "mp3"} | {
    media_type: name for name, media_type in AUDIO_TYPES.items()
}

# How base64 text begins -> what it is, for data that came without its type.
MAGIC = {
    "iVBORw": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
DEFAULT_TYPES = {"image": "image/png", "video": "video/mp4", "audio": "audio/wav", "file": "application/octet-stream"}

ENDINGS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
}

# Fault.kind -> error.type, for faults that bring no type of their own.
ERROR_TYPES = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "payment": "insufficient_quota",
    "permission": "permission_error",
    "not_found": "invalid_request_error",
    "conflict": "conflict_error",
    "too_large": "invalid_request_error",
    "rate_limited": "rate_limit_error",
    "timeout": "timeout_error",
    "internal": "server_error",
    "upstream": "upstream_error",
    "unavailable": "service_unavailable_error",
    "overloaded": "overloaded_error",
}
