"""What the shipped policies are made of: everything in them that needs no hook.

Offered to plugins as ``gateway.policies``.
"""

from gateway.config.kinds import Seconds, Size
from gateway.policies.call_text import has_text_reply, json_of, put_json
from gateway.policies.chain_check import ChainBroken, verify_files
from gateway.policies.chained_file import ChainedFile, Rotation
from gateway.policies.hidden_words import without_keys
from gateway.policies.inserting import Added, with_system_text
from gateway.policies.masking import Masks, find_in_document, masked
from gateway.policies.outbox import Outbox, webhook_key
from gateway.policies.patterns import NAMES as PATTERN_NAMES
from gateway.policies.patterns import OwnPattern, named_pattern
from gateway.policies.reply_cache import ReplyCache, open_cache
from gateway.policies.request_digest import request_digest
from gateway.policies.restoring import ReplyRewriter
from gateway.policies.rules import Rule, mode_option

__all__ = [
    "Added", "ChainBroken", "ChainedFile", "Masks", "Outbox", "OwnPattern", "PATTERN_NAMES", "ReplyCache",
    "ReplyRewriter", "Rotation", "Rule", "Seconds", "Size", "find_in_document", "has_text_reply", "json_of",
    "masked", "mode_option", "named_pattern", "open_cache", "put_json", "request_digest", "verify_files", "webhook_key",
    "with_system_text", "without_keys",
]  # fmt: skip
