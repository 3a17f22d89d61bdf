"""Whose calls a machine's are: credentials out of the environment, or temporary ones of a web identity, a
container or an instance, in the order of AWS's own tools. What the environment speaks of counts; if it
fails, nothing else is tried in its place.

Source: "Standardized credential providers" of the AWS SDKs and tools reference guide, STS API reference
(AssumeRoleWithWebIdentity), EC2 user guide ("Use the Instance Metadata Service"). Profiles in ``~/.aws``
and SSO are not read.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from gateway import json_text
from gateway.aws.sigv4 import Credentials
from gateway.errors import ChannelFailed

Environment = Mapping[str, str]
Found = tuple[Credentials, float]  # and the seconds that they are good for

_CONTAINER = "http://169.254.170.2"  # of ECS
_POD = "http://169.254.170.23"  # of EKS
_INSTANCE = "http://169.254.169.254"
# Beside this machine itself, whom AWS's tools would send a container's authorization without TLS.
_TRUSTED = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "127.0.0.1", "::1")
_PATIENCE = 2.0  # seconds; who is asked is on this machine
_STS = "https://sts.{region}.amazonaws.com"
_NOT_IN_A_HEADER = re.compile(r"[^\x21-\x7e ]")


def identity_places(environment: Environment) -> tuple[str, ...]:
    """The addresses that ``find_credentials`` may ask; a region is ``${channel.options.region}``."""
    usual = _STS.format(region="${channel.options.region}")
    named = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    return environment.get("AWS_ENDPOINT_URL_STS") or usual, named or _POD, _CONTAINER, _instance(environment)


def find_credentials(environment: Environment, tools: Any, region: str) -> Found:
    """*tools* are those that ``authorize`` is given. Raises ChannelFailed when there are none."""
    if "AWS_ACCESS_KEY_ID" in environment:
        return _written(environment), math.inf
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in environment:
        return _of_web_identity(environment, tools, region)
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    address = f"{_CONTAINER}{relative}" if relative else environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if address:
        return _of_container(environment, tools, address)
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise _refused("there is no key, and the environment names no credentials")
    return _of_instance(environment, tools.http)


def _written(environment: Environment) -> Credentials:
    access_key, secret_key = environment["AWS_ACCESS_KEY_ID"], environment.get("AWS_SECRET_ACCESS_KEY")
    if not secret_key:
        raise _refused("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY")
    return Credentials(access_key, secret_key, environment.get("AWS_SESSION_TOKEN", ""))


def _of_web_identity(environment: Environment, tools: Any, region: str) -> Found:
    role = environment.get("AWS_ROLE_ARN")
    if not role:
        raise _refused("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN")
    form = {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role,
        "RoleSessionName": environment.get("AWS_ROLE_SESSION_NAME") or "gateway",
        "WebIdentityToken": tools.read(environment["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    }  # fmt: skip
    url = (environment.get("AWS_ENDPOINT_URL_STS") or _STS.format(region=region)).rstrip("/") + "/"
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "text/xml"}
    answer = tools.http.request("POST", url, headers, urlencode(form).encode())
    try:
        said = {tag.tag.rpartition("}")[2]: tag.text for tag in ElementTree.fromstring(answer.body).iter()}
    except ElementTree.ParseError:
        said = {}
    if answer.status != 200:
        raise _refused(f"STS answered {answer.status} {said.get('Code') or ''}".rstrip())
    return _temporary(said | {"Token": said.get("SessionToken")}, "STS")


def _of_container(environment: Environment, tools: Any, address: str) -> Found:
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in _TRUSTED:
        raise _refused("AWS_CONTAINER_CREDENTIALS_FULL_URI has to be https, or to lead to this machine")
    file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = tools.read(file) if file else environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if _NOT_IN_A_HEADER.search(token):
        raise _refused("the container's authorization token holds what no header may")
    answer = tools.http.request("GET", address, {"authorization": token} if token else None, timeout=_PATIENCE)
    return _answered(answer, "the container's agent")


def _of_instance(environment: Environment, http: Any) -> Found:
    """By version 2 of the service: a token is asked for first, which no redirected request could do."""
    here = _instance(environment)
    lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": "300"}
    session = http.request("PUT", f"{here}/latest/api/token", lifetime, timeout=_PATIENCE)
    if session.status != 200:
        raise _refused(f"the instance's metadata service gave no token: {session.status}")
    headers = {"x-aws-ec2-metadata-token": session.body.decode("latin-1").strip()}
    roles = f"{here}/latest/meta-data/iam/security-credentials/"
    role = http.request("GET", roles, headers, timeout=_PATIENCE)
    name = role.body.decode("latin-1").strip()
    if role.status != 200 or not name:
        raise _refused(f"the instance has no role: {role.status}")
    return _answered(http.request("GET", roles + name, headers, timeout=_PATIENCE), "the instance's metadata service")


def _instance(environment: Environment) -> str:
    return (environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _INSTANCE).rstrip("/")


def _answered(answer: Any, who: str) -> Found:
    try:
        said = json_text.parse(answer.body)
    except json_text.NotJson:
        said = {}
    if answer.status != 200 or not isinstance(said, dict):
        raise _refused(f"{who} answered {answer.status}")
    return _temporary(said, who)


def _temporary(said: Mapping[str, Any], who: str) -> Found:
    access_key, secret_key, token = (said.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    if not access_key or not secret_key:
        raise _refused(f"{who} gave no credentials")
    try:
        left = (datetime.fromisoformat(said["Expiration"]) - datetime.now(UTC)).total_seconds()
    except (KeyError, TypeError, ValueError):
        raise _refused(f"{who} does not say until when its credentials are good") from None
    if left <= 0:
        raise _refused(f"{who} gave credentials that have expired")
    return Credentials(access_key, secret_key, token or ""), left


def _refused(reason: str) -> ChannelFailed:
    return ChannelFailed(f"no AWS credentials: {reason}", code="token_refused")
