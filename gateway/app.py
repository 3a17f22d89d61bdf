"""The WSGI face: bytes -> Call -> Reply -> bytes. The one door to Flask.

All paths meet in one view, because which dialect a path speaks decides even how its 404 looks;
endpoints.py is the table.
"""

import logging
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from gateway import endpoints, json_text, readiness
from gateway.arrival import intake
from gateway.arrival.admission import authenticate, client_address, credentials, take_certificate, without_key
from gateway.arrival.laggards import make_light, reading
from gateway.bodies import FileBody, JsonBody
from gateway.departures import watch
from gateway.dialects.registry import FACES
from gateway.domain import Call, Endpoint, Inbound, Principal
from gateway.endpoints import MODELS, USUAL_MODELS, find_endpoint
from gateway.errors import BadRequest, Fault, GatewayError, NotFound
from gateway.headers import Headers, sane_id
from gateway.last_good import LastGood
from gateway.loading import Gateway
from gateway.pages import Page, look_at
from gateway.reading_wishes import read_wishes
from gateway.relay import Reply, serve
from gateway.reloading import Current
from gateway.replying.replier import shown_route
from gateway.uploads import Upload, is_upload, takes_bytes, upload_of

log = logging.getLogger("gateway.app")

# Operations whose bodies are always JSON; the others also take forms and files.
_ANY_BODY = frozenset({"images", "audio", "files", "batches"})


class _OneView(Flask):
    """Flask for one view: there are no URLs to be matched, so none of the work for it is done."""

    begins = True

    def create_url_adapter(self, request: Any) -> None:
        return None

    def dispatch_request(self) -> Response:
        return _respond(self.extensions["gateway"], self.begins, request.environ)


def create_app(config: Path, last_good: LastGood | None = None, begins: bool = True) -> Flask:
    """The application for the configuration file *config*. Raises ConfigError.

    ``app.extensions["gateway"]`` is the Current configuration, whose ``reload()`` exchanges it. Whoever
    serves the application may ``begin()`` it; its first call does, else, in whatever process that is:
    no WSGI server can make limits and budgets those of one process, or none. Without *begins* nobody
    but its user does: it is as one that a command has loaded, and shares no state.
    """
    # No static folder, no templates, no session: nothing but the one view.
    app = _OneView("gateway", static_folder=None, template_folder=None)
    app.extensions["gateway"] = Current(Path(config), last_good)
    app.begins = begins
    return app


def _respond(current: Current, begins: bool, environ: dict[str, Any]) -> Response:
    # Others first: a client that asks again at once, of an upstream that answers at once, would
    # otherwise never wait, and keep a worker's greenlets from each other.
    time.sleep(0)
    headers = _headers(environ)
    path = environ["PATH_INFO"]
    request_id = headers.get("x-request-id")
    if not sane_id(request_id):
        request_id = f"req_{secrets.token_hex(16)}"
    dialect, call = endpoints.error_dialect(path, headers), None
    try:
        if begins:
            current.begin()
        gateway = current.gateway
        if path in _ABOUT_ITSELF:
            return _ABOUT_ITSELF[path](gateway, request_id, environ["REQUEST_METHOD"])
        make_light(environ.get("gunicorn.socket"), gateway.settings.client_timeout.unread)
        page = gateway.pages.get(path)
        if page is not None:
            return _page(gateway, page, _inbound(gateway, path, headers, environ), request_id)
        endpoint = find_endpoint(environ["REQUEST_METHOD"], path, headers)
        dialect = endpoint.dialect
        inbound = _inbound(gateway, path, headers, environ)
        upload = upload_of(endpoint.path, environ.get("QUERY_STRING", ""), gateway.channels, time.time())
        principal, address = _principal(gateway, inbound, upload), inbound.address
        if endpoint.operation == MODELS:
            return _models(gateway, endpoint, principal, request_id)
        call = _call(gateway, endpoint, request_id, headers, environ)
        call.principal, call.address, call.upload = principal, str(address or ""), upload
        if is_upload(endpoint.path):  # it is to go on without them
            call.credentials = inbound.credentials
        return _response(serve(gateway, call, watch(environ.get("gunicorn.socket"))))
    except GatewayError as error:
        fault = error.fault
    except Exception:  # the last place where an error can still get its dialect and its request id
        log.exception("request %s failed unexpectedly", request_id)
        fault = Fault(500, "internal", "the gateway failed; its log has the details", "internal_error")
    return _error(fault, dialect, request_id, call)


def _headers(environ: Mapping[str, Any]) -> Headers:
    headers = Headers()
    put = dict.__setitem__  # the names are lower-cased here already
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            put(headers, name[5:].replace("_", "-").lower(), value)
    if environ.get("CONTENT_TYPE"):
        put(headers, "content-type", environ["CONTENT_TYPE"])
    if "HTTP_SESSION_ID" in environ:  # Codex spells these with an underscore
        put(headers, "session_id", environ["HTTP_SESSION_ID"])
    return headers


def _inbound(gateway: Gateway, path: str, headers: Headers, environ: Mapping[str, Any]) -> Inbound:
    peer = environ.get("REMOTE_ADDR", "")
    address = client_address(peer, headers, gateway.settings.trusted_proxies)
    certificate = take_certificate(headers, peer, gateway.settings.certificate_proxies)
    given = credentials(headers, environ.get("QUERY_STRING", ""))
    return Inbound(environ["REQUEST_METHOD"], path, headers, address, given, certificate)


def _principal(gateway: Gateway, inbound: Inbound, upload: Upload | None) -> Principal:
    """Whose request it is. Clients send no key with the bytes of an upload: its address has it."""
    if upload is None:
        return authenticate(gateway, inbound)
    principal = authenticate(gateway, replace(inbound, credentials=inbound.credentials or upload.credentials))
    upload.check(principal)
    return principal


def _page(gateway: Gateway, page: Page, inbound: Inbound, request_id: str) -> Response:
    if not page.open:
        inbound = replace(inbound, principal=authenticate(gateway, inbound))
    status, shown, body = look_at(page, inbound)
    return Response(body, status, [*shown, ("x-request-id", request_id)])


def _call(gateway: Gateway, endpoint: Endpoint, request_id: str, headers: Headers, environ: Mapping[str, Any]) -> Call:
    """Reads the body as far as routing needs it. Raises BadRequest and its kin."""
    method, limit = environ["REQUEST_METHOD"], gateway.settings.max_body
    content_type, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
    body: JsonBody | FileBody | None = None
    model, stream, wishes = endpoint.model, bool(endpoint.stream), None
    length = int(environ.get("CONTENT_LENGTH") or 0)  # gunicorn has seen to it that it is a number
    has_body = length > 0 or "transfer-encoding" in headers
    if method == "POST" and (has_body or endpoint.model_needed):
        patience = gateway.settings.client_timeout.body
        with reading(environ["wsgi.input"], environ.get("gunicorn.socket"), patience) as arriving:
            read = intake.read_json
            bytes_of_file = takes_bytes(endpoint.path, headers.get("x-goog-upload-command", ""))
            if bytes_of_file or (endpoint.operation in _ANY_BODY and not intake.is_json(content_type)):
                read = intake.read_file
            body = read(arriving, content_type, encoding, limit, length or None)
        if isinstance(body, FileBody):
            model, stream = _form_head(body)
        else:
            head = intake.read_head(body)
            model = endpoint.model or _model(head)
            stream = stream or head.get("stream") is True
            wishes = read_wishes(head, headers)
    if not model and method == "POST" and endpoint.path.startswith(("/v1/images/", "/v1/audio/", "/v1/moderations")):
        model = USUAL_MODELS[endpoint.operation]
    query = without_key(environ.get("QUERY_STRING", ""))
    wishes = wishes or read_wishes({}, headers)
    return Call(request_id, endpoint, method, query, headers, body, model, stream, wishes=wishes)


def _model(head: Mapping[str, Any]) -> str:
    model = head.get("model", "")
    if not isinstance(model, str | None):
        raise BadRequest("the model's name has to be a string", param="model")
    return model or ""


def _form_head(body: FileBody) -> tuple[str, bool]:
    model, stream = intake.form_field(body, "model"), intake.form_field(body, "stream")
    if model is not None:
        body.model_span = model[1]
    return model[0] if model else "", bool(stream) and stream[0].strip().lower() == "true"


def _models(gateway: Gateway, endpoint: Endpoint, principal: Principal, request_id: str) -> Response:
    face = FACES[endpoint.dialect]
    if endpoint.model:
        name = endpoint.model
        if not gateway.router.has(name, principal.tags) or not principal.may_use(name):
            raise NotFound(f"there is no model {name!r}", code="model_not_found", param="model")
        document = face.model_entry(name)
    else:
        names = gateway.router.model_names(principal.tags)
        document = face.model_list([name for name in names if principal.may_use(name)])
    headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    return Response(json_text.write(document), 200, headers)


def _front(_: Gateway, request_id: str, method: str) -> Response:
    """``/`` says that somebody is at home (Claude Code asks with HEAD before anything else)."""
    headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    if method not in ("GET", "HEAD"):
        return _error(Fault(405, "invalid_request", "/ takes GET", "method_not_allowed"), "chat", request_id, None)
    return Response(b'{"service":"gateway"}\n', 200, headers)


def _alive(_: Gateway, request_id: str, method: str) -> Response:
    """``/healthz``: this worker answers."""
    headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    return Response(b'{"alive":true}\n', 200, headers)


def _ready(gateway: Gateway, request_id: str, method: str) -> Response:
    """``/readyz``: calls can be served."""
    failing = readiness.failing(gateway)
    headers = [("content-type", "application/json"), ("cache-control", "no-store"), ("x-request-id", request_id)]
    return Response(json_text.write({"ready": not failing, "failing": failing}), 503 if failing else 200, headers)


_ABOUT_ITSELF = {"/": _front, "/healthz": _alive, "/readyz": _ready}


class _Ready(Response):
    """One whose headers are what is to be sent: Werkzeug would copy and look them all through once more."""

    default_mimetype = None

    def get_wsgi_headers(self, environ: Any) -> Any:
        return self.headers if self.status_code == 200 else super().get_wsgi_headers(environ)


def _response(reply: Reply) -> Response:
    # direct_passthrough hands our Stream to gunicorn as it is, without a wrapper per event.
    response = _Ready(status=reply.status, headers=reply.headers, direct_passthrough=True)
    response.response = [reply.body] if isinstance(reply.body, bytes) else reply.body
    if isinstance(reply.body, bytes):
        response.headers["content-length"] = str(len(reply.body))
    return response


def _error(fault: Fault, dialect: str, request_id: str, call: Call | None) -> Response:
    headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    headers += call.reply_headers if call is not None else []
    if call is not None and call.attempts:
        headers += [("x-gateway-channel", call.attempts[-1].channel), ("x-gateway-attempts", str(len(call.attempts)))]
        headers += shown_route(call)
    if fault.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(fault.retry_after)))))
    if fault.status == 401:
        headers.append(("www-authenticate", 'Bearer realm="gateway"'))
    return Response(json_text.write(FACES[dialect].error_body(fault, request_id)), fault.status, headers)


