"""Each call leaves a row in the ledger; a key may ask what it has used (GET /v1/usage). In use whenever
there is a `store:`. Last in the list, so that what other plugins refuse was never about to be sent."""

from decimal import Decimal

from gateway import JsonText, hookimpl, ledger

Options = ledger.LedgerOptions


class Plugin:
    def __init__(self, options):
        self._ledger = ledger.Ledger(options)
        self._services = None

    @hookimpl
    def begin(self, services):
        self._services = services
        self._ledger.begin(services)

    @hookimpl
    def end(self):
        self._ledger.end()

    @hookimpl
    def arrange_channels(self, call, route):
        self._ledger.call_begins(call, route)

    @hookimpl
    def after_call(self, call, record):
        self._ledger.call_ended(call, record)

    @hookimpl
    def register_pages(self, pages):
        pages("/v1/usage", self._usage)

    def _usage(self, request):
        found = ledger.own_usage(self._services.store, request.principal.name)
        shown = {
            "object": "usage",
            "key": found["key"],
            "today": _sums(found["today"]),
            "month": _sums(found["month"]),
            "models": [{"model": row["model"]} | _sums(row) for row in found["models"]],
        }
        return 200, {"content-type": "application/json", "cache-control": "no-store"}, JsonText.write(shown)


def _sums(row):
    """The sums of a report as a client sees them: cost in dollars, without the calls that are `unpriced`."""
    shown = {name: value for name, value in row.items() if name not in ("model", "cost")}
    unknown = row["unpriced"] and row["unpriced"] == row["calls"]
    return shown | {"cost_usd": None if unknown else Decimal(row["cost"]).scaleb(-6)}
