"""What one key's or team's calls may use together, as claims on the shared state.

A call needs something (``needs_of``: an estimate of its tokens); its principal's plan (``plan_of``)
says what has to be claimed for it (``Plan.wants``); when it has ended, ``amounts_of`` says what it came to.
"""

from gateway.allowances.ends import amounts_of, is_roomy
from gateway.allowances.needs import NO_NEEDS, is_free, micro_usd, needs_of
from gateway.allowances.plans import amount_text, plan_of
from gateway.allowances.reply_headers import rate_headers, refused_headers, would_refuse
from gateway.allowances.thresholds import warnings_due
from gateway.state import StateAway

__all__ = [
    "NO_NEEDS", "StateAway", "amount_text", "amounts_of", "is_free", "is_roomy", "micro_usd", "needs_of",
    "plan_of", "rate_headers", "refused_headers", "warnings_due", "would_refuse",
]  # fmt: skip
