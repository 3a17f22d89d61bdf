"""Where a configuration may connect to, and that list in the words of what keeps it so.

Pure but for names: packet filters know addresses only, so that those two forms ask the resolver.
"""

import contextlib
import dataclasses
import ipaddress
import json
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway.config.document import Node
from gateway.config.kinds import Secret
from gateway.config.origins import is_own
from gateway.domain import Channel
from gateway.loading import Gateway
from gateway.plugin_manager import Plugin
from gateway.transport.egress import origin

_PORTS = {"redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432}
_WEB = ("http", "https")

Resolve = Callable[[str], Sequence[str]]  # a name's addresses; raises OSError


@dataclass(frozen=True, slots=True)
class Destination:
    """One place. ``via`` is the proxy (``host:port``) that makes the connection for the gateway; empty:
    it connects itself. ``users`` say what for: ``channel openai-main``."""

    scheme: str
    host: str
    port: int
    via: str
    users: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def destinations(gateway: Gateway) -> list[Destination]:
    """All that the configuration names: enabled channels with their plugins' hosts, proxies, the stores, and
    addresses in the options of plugins. Sorted; each once; no credentials, paths or queries."""
    found: dict[tuple[str, str, int, str], list[str]] = {}
    for scheme, host, port, via, user in _named(gateway):
        users = found.setdefault((scheme, host, port, via), [])
        if user not in users:
            users.append(user)
    return sorted((Destination(*key, tuple(users)) for key, users in found.items()), key=lambda d: (d.via, d.place))


def open_channels(gateway: Gateway) -> list[str]:
    """The channels that fetch media from any public host a client names (``fetch: any``)."""
    return [channel.name for channel in _outside(gateway) if channel.settings.fetch.everywhere]


def _outside(gateway: Gateway) -> list[Channel]:
    return [c for c in gateway.channels if c.settings.enabled and c.provider.respond is None]


def _named(gateway: Gateway) -> Iterable[tuple[str, str, int, str, str]]:
    for channel in _outside(gateway):
        user, via = f"channel {channel.name}", ""
        if channel.settings.proxy:
            scheme, host, port = _parted(origin(channel.settings.proxy))
            via = f"{host}:{port}"
            yield scheme, host, port, "", f"proxy of {user}"
        for address in channel.egress:
            direct = is_own(address) and address != origin(channel.base_url)
            yield *_parted(address), "" if direct else via, user
        if not channel.settings.fetch.everywhere:
            for address in channel.settings.fetch:
                yield *_parted(address), "", f"media for {user}"
    for name, url in (("state", gateway.settings.state), ("store", gateway.settings.store)):
        for place in _keepers(url.reveal() if url else ""):
            yield *place, "", name
    loaded = {plugin.source.name: plugin for plugin in gateway.plugins.gateway}
    for use in gateway.settings.plugins:
        usual = _defaults(loaded[use.name]) if use.name in loaded else {}
        for place in _of_options(usual | dict(use.options or {})):
            yield *place, "", f"plugin {use.name}"


def _parted(address: str) -> tuple[str, str, int]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port or 0


def _keepers(url: str) -> Iterable[tuple[str, str, int]]:
    """The servers of a ``redis://`` or ``postgresql+psycopg://`` address; none for files and sockets."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    if scheme not in _PORTS:
        return
    asked = parse_qs(parts.query)
    usual = int(asked.get("port", [""])[0] or parts.port or _PORTS[scheme])
    # SQLAlchemy takes several servers, and folders of sockets, as `?host=a:5432&host=b`.
    named = asked.get("host", []) if scheme.startswith("postgres") else []
    for host in named or [parts.hostname or ("" if scheme.startswith("postgres") else "localhost")]:
        name, _, port = host.rpartition(":") if ":" in host and host.count(":") == 1 else (host, "", "")
        if name and not name.startswith("/"):
            yield scheme, name.lower(), int(port or usual)


def _defaults(plugin: Plugin) -> dict[str, Any]:
    """What the plugin's ``class Options`` has where the configuration says nothing."""
    for caller in plugin.hooks.values():
        owner = caller.get_hookimpls()[0].plugin
        module = owner if isinstance(owner, ModuleType) else sys.modules.get(type(owner).__module__)
        kind = getattr(module, "Options", None)
        if dataclasses.is_dataclass(kind):
            return {each.name: each.default for each in dataclasses.fields(kind) if isinstance(each.default, str)}
    return {}


def _of_options(value: Any) -> Iterable[tuple[str, str, int]]:
    """The places of every address among a plugin's options, wherever it stands, in a secret's file too."""
    if isinstance(value, Node):
        value = value.value if isinstance(value.value, dict | list) else _text(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _of_options(item)
    elif isinstance(value, str) and value.startswith(("https://", "http://")):
        with contextlib.suppress(ValueError):
            yield _parted(origin(value))
    elif isinstance(value, str):
        yield from _keepers(value)


def _text(node: Node) -> str:
    try:
        return Secret.read(node).reveal() if node.text.startswith("file:") else node.text
    except ValueError:  # the plugin has complained of it, if it wants a secret there
        return ""


def resolve(host: str) -> list[str]:
    """A name's addresses, sorted. Raises OSError."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})


def addresses(places: Iterable[Destination], resolver: Resolve = resolve) -> dict[tuple[str, int], list[Destination]]:
    """(address, port) -> whom the gateway itself connects to there. Raises OSError, whose text names the host."""
    found: dict[tuple[str, int], list[Destination]] = {}
    for place in places:
        if place.via:
            continue
        if place.host.startswith("*."):
            raise OSError(f"{place.host} stands for names that nobody can list: name them in `fetch`")
        try:
            known = resolver(place.host)
        except OSError as error:
            raise OSError(f"{place.host} has no address ({error.strerror or error})") from None
        for address in known:
            found.setdefault((address.partition("%")[0], place.port), []).append(place)
    return dict(sorted(found.items()))


def as_list(places: Iterable[Destination]) -> list[str]:
    """A line each: ``host:port  scheme  users  [via proxy]``."""
    rows = [(d.place, d.scheme, ", ".join(d.users) + (f" (via {d.via})" if d.via else "")) for d in places]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    return [f"{place.ljust(widths[0])}  {scheme.ljust(widths[1])}  {users}" for place, scheme, users in rows]


def as_squid(places: Iterable[Destination]) -> list[str]:
    """Rules for the squid that is the way out: web destinations, each with its own port, and nothing else."""
    lines = []
    proxies = {d.via for d in places if d.via}
    web = [d for d in places if d.scheme in _WEB and f"{d.host}:{d.port}" not in proxies]
    for scheme, port in sorted({(d.scheme, d.port) for d in web}):
        hosts = sorted({d.host for d in web if (d.scheme, d.port) == (scheme, port)})
        kinds = (("dstdomain", _domains(hosts)), ("dst", [host for host in hosts if _is_address(host)]))
        lines.append(f"acl gateway_port_{port} port {port}")
        for kind, named in kinds:
            if named:
                name = f"gateway_{scheme}_{port}_{kind}"
                lines += [f"acl {name} {kind} {' '.join(named)}", _allowed(scheme, name, port)]
    return ["acl CONNECT method CONNECT", *dict.fromkeys(lines), "http_access deny all"]


def _domains(hosts: Iterable[str]) -> list[str]:
    """Names as squid has them: ``.name`` for all below it. It refuses a list that has one of those beside it."""
    names = [host.removeprefix("*") for host in hosts if not _is_address(host)]
    whole = tuple(name for name in names if name.startswith("."))
    return [name for name in names if not any(name != other and name.endswith(other) for other in whole)]


def _allowed(scheme: str, name: str, port: int) -> str:
    method = "CONNECT " if scheme == "https" else "!CONNECT "
    return f"http_access allow {method}{name} gateway_port_{port}"


def as_nftables(found: dict[tuple[str, int], list[Destination]], user: str) -> list[str]:
    """A table that lets *user* out to these addresses, to this machine and to name servers, and nowhere else."""
    lines = ["table inet gateway_egress", "delete table inet gateway_egress", "table inet gateway_egress {"]
    allowed = []
    for version, kind, word in ((4, "ipv4_addr", "ip"), (6, "ipv6_addr", "ip6")):
        mine = [(place, users) for place, users in found.items() if ipaddress.ip_address(place[0]).version == version]
        if mine:
            lines += [f"  set allowed{version} {{", f"    type {kind} . inet_service", "    elements = {"]
            lines += [f"      {ip} . {port},  # {_names(users)}" for (ip, port), users in mine]
            lines += ["    }", "  }"]
            allowed.append(f"    {word} daddr . tcp dport @allowed{version} accept")
    return [
        *lines,
        "  chain output {",
        "    type filter hook output priority filter; policy accept;",
        f"    meta skuid != {json.dumps(user)} accept",
        '    oif "lo" accept',
        "    ct state established,related accept",
        "    meta l4proto { tcp, udp } th dport 53 accept",
        *allowed,
        "    reject",
        "  }",
        "}",
    ]


def as_network_policy(found: dict[tuple[str, int], list[Destination]], name: str) -> list[str]:
    """A Kubernetes NetworkPolicy (networking.k8s.io/v1) for pods with the label ``app: NAME``."""
    lines = [
        "apiVersion: networking.k8s.io/v1",
        "kind: NetworkPolicy",
        "metadata:",
        f"  name: {name}-egress",
        "spec:",
        "  podSelector:",
        "    matchLabels:",
        f"      app: {name}",
        "  policyTypes: [Egress]",
        "  egress:",
        "    - ports:  # names",
        "        - {protocol: UDP, port: 53}",
        "        - {protocol: TCP, port: 53}",
    ]
    for (address, port), places in found.items():
        bits = ipaddress.ip_address(address).max_prefixlen
        lines += [
            f"    - to:  # {_names(places)}",
            f'        - ipBlock: {{cidr: "{address}/{bits}"}}',
            "      ports:",
            f"        - {{protocol: TCP, port: {port}}}",
        ]
    return lines


def _names(places: Iterable[Destination]) -> str:
    return ", ".join(dict.fromkeys(place.host for place in places))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
