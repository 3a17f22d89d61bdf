"""Which dialect and operation a path asks for: one table.

Paths are accepted with and without their version (``/v1``), as SDKs are configured either way, and
behind the prefixes that hosted gateways give the dialects (``/openai``, ``/anthropic``, ``/gemini``).
"""

import re
from collections.abc import Mapping

from gateway.domain import GENERATE, Endpoint
from gateway.errors import MethodNotAllowed, NotFound

MODELS = "models"
COUNT_TOKENS = "count_tokens"
FILES = "files"

_PREFIX = re.compile(
    r"(?:/(?P<vendor>openai|anthropic|gemini))?(?P<upload>(?:/upload(?=/v1))?)"
    r"(?P<version>/v1beta|/v1alpha|(?:/v1(?=/))*)(?P<rest>/.*)"
)

# path without version: (methods, dialect, operation, model needed)
_EXACT = {
    "/chat/completions": ("POST", "chat", GENERATE, True),
    "/completions": ("POST", "chat", "completions", True),
    "/responses": ("POST", "responses", GENERATE, True),
    "/responses/compact": ("POST", "responses", "compact", True),
    "/responses/input_tokens": ("POST", "responses", COUNT_TOKENS, True),
    "/messages": ("POST", "messages", GENERATE, True),
    "/messages/count_tokens": ("POST", "messages", COUNT_TOKENS, True),
    "/embeddings": ("POST", "chat", "embeddings", True),
    "/moderations": ("POST", "chat", "moderations", False),
    "/rerank": ("POST", "chat", "rerank", True),
    "/models": ("GET", "chat", MODELS, False),
}
_BELOW = {
    "/images/": ("POST", "chat", "images", False),
    "/audio/": ("POST", "chat", "audio", False),
    "/files": ("GET POST DELETE", "chat", FILES, False),
    "/batches": ("GET POST DELETE", "chat", "batches", False),
    "/messages/batches": ("GET POST DELETE", "messages", "batches", False),
    "/responses/": ("GET POST DELETE", "responses", "stored_responses", False),
    "/models/": ("GET", "chat", MODELS, False),
}
# The word behind the colon of /v1beta/models/{model}:{action}: (operation, stream)
_GEMINI_ACTIONS = {
    "generateContent": (GENERATE, False),
    "streamGenerateContent": (GENERATE, True),
    "countTokens": (COUNT_TOKENS, False),
    "embedContent": ("embeddings", False),
    "batchEmbedContents": ("embeddings", False),
}
# Used when a client leaves the model out, as the vendors' own APIs do.
USUAL_MODELS = {"moderations": "omni-moderation-latest", "images": "dall-e-2", "audio": "whisper-1"}


def find_endpoint(method: str, path: str, headers: Mapping[str, str]) -> Endpoint:
    """The endpoint of a request. Raises NotFound or MethodNotAllowed (with the methods there are)."""
    match = _PREFIX.fullmatch(path)
    if match is None or ".." in path or (match["upload"] and match["rest"].rstrip("/") != f"/{FILES}"):
        raise NotFound(f"there is nothing at {method} {path}")
    version, rest = match["version"], match["rest"].rstrip("/")
    google = version.startswith("/v1beta") or version == "/v1alpha" or match["vendor"] == "gemini"
    model, colon, action = rest.removeprefix("/models/").rpartition(":")
    if rest.startswith("/models/") and colon and action in _GEMINI_ACTIONS:
        return _gemini(method, path, version, model, action)
    methods, dialect, operation, needed = _look_up(rest, path, method)
    if (method if method != "HEAD" else "GET") not in methods.split():
        raise MethodNotAllowed(f"{path} takes {methods.replace(' ', ', ')}, not {method}")
    if operation == MODELS:
        dialect = _list_dialect(google, headers)
        return Endpoint(dialect, MODELS, "/v1" + rest, model=rest.removeprefix("/models").lstrip("/"))
    if operation == FILES and (google or match["upload"]):
        return Endpoint("gemini", FILES, f"{match['upload']}{version or '/v1beta'}{rest}")
    if operation == FILES and "anthropic-version" in headers:  # at the same path as OpenAI's
        dialect = "messages"
    return Endpoint(dialect, operation, "/v1" + rest, model_needed=needed)


def _look_up(rest: str, path: str, method: str) -> tuple[str, str, str, bool]:
    found = _EXACT.get(rest)
    if found is None:
        fits = [prefix for prefix in _BELOW if rest == prefix.rstrip("/") or rest.startswith(prefix.rstrip("/") + "/")]
        if not fits or (rest + "/" in _BELOW):
            raise NotFound(f"there is nothing at {method} {path}")
        found = _BELOW[max(fits, key=len)]
    return found


def _gemini(method: str, path: str, version: str, model: str, action: str) -> Endpoint:
    if method != "POST":
        raise MethodNotAllowed(f"{path} takes POST, not {method}")
    operation, stream = _GEMINI_ACTIONS[action]
    version = version or "/v1beta"
    return Endpoint("gemini", operation, f"{version}/models/{{model}}:{action}", model, stream, True)


def _list_dialect(google: bool, headers: Mapping[str, str]) -> str:
    """Model lists come in three shapes; the headers that only one vendor's SDK sends tell which."""
    if google or "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return "gemini"
    return "messages" if "anthropic-version" in headers else "chat"


def error_dialect(path: str, headers: Mapping[str, str]) -> str:
    """The dialect to say an error in when the path itself is the error."""
    if "/v1beta" in path or "/v1alpha" in path or path.startswith("/gemini") or "x-goog-api-key" in headers:
        return "gemini"
    if "/messages" in path or path.startswith("/anthropic") or "anthropic-version" in headers:
        return "messages"
    return "responses" if "/responses" in path else "chat"
