"""What a call used: as the upstream says it in its own dialect, or as an estimate.

``places`` knows where and how each dialect says it, ``output`` counts what goes by, ``tap`` stands
in the stream.
"""

from gateway.usage_reading.tap import MEASURED, UsageTap, tap_for

__all__ = ["MEASURED", "UsageTap", "tap_for"]
