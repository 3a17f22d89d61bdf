"""Small requests to places that the configuration names, for what is told or fetched beside calls.

They go there and nowhere else: redirects are answers that failed, and the environment's proxies are not asked.
"""

import ssl
import urllib.request
from typing import Any


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def direct_opener(context: ssl.SSLContext | None = None, proxy: str = "") -> urllib.request.OpenerDirector:
    """What ``open(request, timeout=...)`` is called on; through *proxy*, if one is named. It raises urllib's
    errors, a redirect's too."""
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    handlers = [urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context), _Stay]
    return urllib.request.build_opener(*handlers)
