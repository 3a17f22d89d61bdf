"""Google's Vertex AI: Gemini as `vertex`, Anthropic's models as `vertex-anthropic`.

A channel's key is what `gcloud` and the console give as a credentials file, as JSON: a service
account's, a user's, or that of a workload identity federation; or an API key. Without a key the file
that GOOGLE_APPLICATION_CREDENTIALS names is taken, or else the metadata server of the machine is asked.

Source: Vertex AI REST reference (generateContent, rawPredict), "Request predictions with Claude
models", "Using OAuth 2.0 for server to server applications", AIP-4117 (external accounts).
Service accounts need the extra `vertex`.
"""

import os
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from gateway import ChannelFailed, JsonText, Provider, hookimpl, option

try:
    import jwt
except ImportError:
    jwt = None

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Google's own tools go by the same variable.
_METADATA = f"http://{os.environ.get('GCE_METADATA_HOST') or 'metadata.google.internal'}"
_TOKENS = "https://oauth2.googleapis.com/token"
_PLACE = "/v1/projects/${channel.options.project}/locations/${channel.options.region}/publishers"
_EGRESS = ("oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com")
_SEVERAL = ("us", "eu")
_FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, kw_only=True)
class ChannelOptions:
    project: str = option("Google Cloud project")
    region: str = option("location, such as europe-west1, or global", "global")
    subject: str = option("address that gives the workload's own token (workload identity federation)", "")


@hookimpl
def register_providers(register):
    base_url = "https://aiplatform.googleapis.com"
    own = {
        "auth": "bearer", "egress": (*_EGRESS, "${channel.options.subject}"),
        "keyless": True, "keyless_egress": (_METADATA,),
    }  # fmt: skip
    google, anthropic = f"{_PLACE}/google/models", f"{_PLACE}/anthropic/models"
    register(Provider(
        "vertex", {"gemini": google + "/{model}:{action}"}, base_url, operations=frozenset({"count_tokens"}),
        paths={"count_tokens": google + "/{model}:countTokens"}, **own,
    ))  # fmt: skip
    register(Provider(
        "vertex-anthropic", {"messages": anthropic + "/{model}:rawPredict"}, base_url,
        operations=frozenset({"count_tokens"}), paths={"count_tokens": anthropic + "/count-tokens:rawPredict"}, **own,
    ))  # fmt: skip


@hookimpl
def rewrite_request(call, channel, request):
    region = channel.options.region
    if channel.settings.base_url is None and region != "global":
        host = f"aiplatform.{region}.rep" if region in _SEVERAL else f"{region}-aiplatform"
        request.url = request.url.replace("//aiplatform.googleapis.com", f"//{host}.googleapis.com", 1)
    if channel.provider.name == "vertex":
        return
    request.url = request.url.partition("?")[0].replace("%40", "@")
    request.headers.pop("anthropic-version", None)
    if b'"anthropic_version"' not in request.body.data:
        request.set_member("/anthropic_version", "vertex-2023-10-16")
    if call.operation != "count_tokens":
        request.unset_member("/model")
    if call.stream:
        request.url = request.url.replace(":rawPredict", ":streamRawPredict")


@hookimpl
def authorize(channel, key, request, tools, refresh):
    said = key.reveal() if key is not None else ""
    if said and not said.startswith("{"):
        request.headers["x-goog-api-key"] = said
        return True
    name = f"token {hash(key)}"
    request.headers["authorization"] = "Bearer " + tools.cache.fetch(name, lambda: _token(said, tools), refresh)
    return True


def _token(said, tools):
    """(token, seconds that it is good for)"""
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not said and file:
        said = tools.read(file)
    if not said:
        url = f"{_METADATA}/computeMetadata/v1/instance/service-accounts/default/token"
        return _granted(tools.http.request("GET", url, {"metadata-flavor": "Google"}))
    try:
        account = JsonText.parse(said)
        return _KINDS[account["type"]](account, tools)
    except JsonText.NotJson:
        reason = "it is not JSON"
    except (KeyError, TypeError) as error:
        reason = f"it lacks {error}"
    raise ChannelFailed(f"the key is no credentials file of Google's: {reason}", code="token_refused")


def _service_account(account, tools):
    if jwt is None:
        raise ChannelFailed("service accounts need pyjwt: pip install 'llm-gateway[vertex]'", code="extra_missing")
    now, url = int(time.time()), account.get("token_uri", _TOKENS)
    claims = {"iss": account["client_email"], "scope": _SCOPE, "aud": url, "iat": now, "exp": now + 3600}
    try:
        headers = {"kid": account["private_key_id"]}
        assertion = jwt.encode(claims, account["private_key"], algorithm="RS256", headers=headers)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ChannelFailed("the service account's private key cannot be read", code="token_refused") from None
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return _granted(tools.http.request("POST", url, _FORM, urlencode(form).encode()))


def _user(account, tools):
    form = {"grant_type": "refresh_token"} | {
        name: account[name] for name in ("client_id", "client_secret", "refresh_token")
    }
    return _granted(tools.http.request("POST", _TOKENS, _FORM, urlencode(form).encode()))


def _external_account(account, tools):
    """A token of the workload's own is exchanged for Google's, and that for a service account's if one is named."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": account["audience"],
        "scope": _SCOPE, "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": _subject(account["credential_source"], tools),
        "subject_token_type": account["subject_token_type"],
    }  # fmt: skip
    url = account.get("token_url", "https://sts.googleapis.com/v1/token")
    token, seconds = _granted(tools.http.request("POST", url, _FORM, urlencode(form).encode()))
    impersonated = account.get("service_account_impersonation_url")
    if not impersonated:
        return token, seconds
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    answer = tools.http.request("POST", impersonated, headers, JsonText.write({"scope": [_SCOPE], "lifetime": "3600s"}))
    return _granted(answer, "accessToken")


def _subject(source, tools):
    if "file" in source:
        text = tools.read(source["file"])
    else:
        text = tools.http.request("GET", source["url"], source.get("headers")).body.decode("utf-8", "replace")
    form = source.get("format", {})
    return JsonText.parse(text)[form["subject_token_field_name"]] if form.get("type") == "json" else text


_KINDS = {"service_account": _service_account, "authorized_user": _user, "external_account": _external_account}


def _granted(answer, member="access_token"):
    try:
        said = JsonText.parse(answer.body)
        if answer.status == 200:
            return said[member], float(said.get("expires_in", 3600))
        reason = said.get("error", "")
        reason = reason.get("status", "") if isinstance(reason, dict) else reason
    except (JsonText.NotJson, KeyError, AttributeError, ValueError):
        reason = "no token in the answer"
    raise ChannelFailed(f"Google gave no token: {answer.status} {reason}", code="token_refused")
