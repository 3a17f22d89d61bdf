"""The shape of the code: imports go one way, each library has one door, nothing grows out of hand."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gateway"
FILES = sorted(PACKAGE.rglob("*.py"))
SHIPPED = sorted((ROOT / "plugins").rglob("*.py"))

# docs/design.md's road, top to bottom: a module imports only from lines below its own.
# A room (a package: arrival, config, dialects) is one word here.
ROAD = """
    __main__
    cli
    commands
    testing
    app
    doctor outgoing acts plugin_template
    serving
    reloading
    relay live_check readiness
    trying replying
    attempt
    account arrival
    usage_reading allowances
    include_usage token_count
    interpreter last_good
    loading
    transport pages services provider_rules
    routing health room timing prices
    plugin_manager endpoints uploads
    hookspecs departures
    dialects ledger policies
    store json_edit
    domain templates rights price_file
    reading_wishes
    headers bodies config wishes aws concealing
    state
    usage sse json_text json_pointer direct issuer
    plugin_api temporary
    errors
"""
RANKS = {word: number for number, line in enumerate(ROAD.strip().splitlines()) for word in line.split()}

# Outside libraries, and who may open them.
DOORS = {
    "flask": {"app"},
    "requests": {"transport.transport", "transport.connections"},
    "urllib3": {"transport.transport", "transport.connections", "transport.fetching"},
    "yaml": {"config.document"},
    "pluggy": {"hookspecs", "plugin_manager"},
    "click": {"cli", "commands"},
    "gunicorn": {"serving"},
    "msgspec": {"json_text"},
    "brotli": {"arrival.unpacking"},
    "pytest": {"testing.plugin"},
    "redis": {"state.redis", "policies.redis_keeper", "doctor.keepers"},
    "sqlalchemy": {"store", "ledger.books", "ledger.reports"},
    "zstandard": {"arrival.unpacking"},
}


def name_of(path):
    """``config.document`` for gateway/config/document.py; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """(module, names) of every import in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", tuple(alias.name for alias in node.names)


MODULES = {name_of(path): path for path in FILES}


def inner_imports(path):
    """The gateway's own modules that the file imports."""
    for module, names in imports_of(path):
        if module == "gateway":
            yield from (name for name in names if name in MODULES)
        elif module.startswith("gateway."):
            inner = module.removeprefix("gateway.")
            within = [f"{inner}.{name}" for name in names if f"{inner}.{name}" in MODULES]
            yield from within or [inner]


def test_every_module_has_its_place_on_the_road():
    assert {name.partition(".")[0] for name in MODULES if name} == set(RANKS)


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_go_down_the_road(name):
    own = name.partition(".")[0]
    for other in inner_imports(MODULES[name]):
        target = other.partition(".")[0]
        assert target == own or RANKS[target] > RANKS[own], f"{name} imports {other}"


def test_no_import_leads_back():
    graph = {name: set(inner_imports(path)) - {name} for name, path in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) >= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_each_library_has_its_doors(name):
    for module, _ in imports_of(MODULES[name]):
        library = module.partition(".")[0]
        if library != "gateway" and library not in sys.stdlib_module_names:
            assert {name, name.partition(".")[0]} & DOORS[library], f"{name} imports {library}"


def test_every_door_is_in_use():
    """Else the table above would tell what is no longer so."""
    used = {(module.partition(".")[0], name) for name, path in MODULES.items() for module, _ in imports_of(path)}
    for library, doors in DOORS.items():
        for door in doors:
            assert any(lib == library and (name == door or name.startswith(f"{door}.")) for lib, name in used), library


# Of an extra that a shipped plugin names when it is missing.
EXTRAS = {"vertex": {"jwt"}, "jwt": {"jwt"}, "metrics": {"prometheus_client"}, "otel": {"opentelemetry", "requests"}}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_plugins_import_only_what_the_gateway_offers_to_all(path):
    for module, names in imports_of(path):
        library = module.partition(".")[0]
        known = library in sys.stdlib_module_names or library in EXTRAS.get(path.stem, ())
        assert known or module == "gateway", module
        if module == "gateway":
            offered = ast.literal_eval(_assigned(PACKAGE / "__init__.py", "__all__"))
            assert set(names) <= set(offered)


# What opens connections. A plugin has `tools.http` (providers) and `direct_opener` for that, which go only where the
# configuration says; ssl and urllib.parse open nothing.
NETWORK = {
    "socket", "http.client", "urllib.request", "requests", "urllib3", "socketserver", "asyncio", "ftplib", "smtplib",
}  # fmt: skip
# Who may use it, and what for.
CONNECTS = {
    "transport": "the one way to channels and to media that clients name",
    "direct": "what else the configuration names: every other request is opened by it",
    "issuer": "a Request for direct's opener",
    "policies.outbox": "a Request for direct's opener",
    "departures": "looks at the client's own socket",
    "arrival.laggards": "limits the client's own socket",
    "ledger.bookkeeper": "the name of this machine",
    "outgoing": "the names of hosts, for the list of who is called",
    "doctor": "asks this very gateway",
    "live_check": "whether a channel's host can be reached at all",
    "testing": "the client and the upstream of tests",
    "plugins/otel": "OpenTelemetry's exporter wants a session; it is given one without proxies and redirects",
}


def _connecting(path):
    imported = {f"{module}.{name}" for module, names in imports_of(path) for name in (*names, "")}
    return any(each.startswith(f"{library}.") for each in imported for library in NETWORK)


def test_whoever_opens_connections_is_known():
    found = {name for name, path in MODULES.items() if _connecting(path)}
    found = {name if name in CONNECTS else name.partition(".")[0] for name in found}
    assert found | {f"plugins/{path.stem}" for path in SHIPPED if _connecting(path)} == set(CONNECTS)
    assert not [path for path in SHIPPED if "import_module(" in path.read_text() or "__import__" in path.read_text()]


def _assigned(path, name):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return node.value
    raise AssertionError(f"{path} assigns no {name}")


def functions(path):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]


@pytest.mark.parametrize("path", FILES + SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_imports_or_grows_too_long(path):
    for function in functions(path):
        assert not [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)], function.name
        assert function.end_lineno - function.lineno < 60, function.name


def test_no_file_grows_too_long():
    lengths = {path: len(path.read_text().splitlines()) for path in FILES + SHIPPED}
    assert not [path for path, length in lengths.items() if length > 500]
    long = [path.name for path, length in lengths.items() if length > 300]
    assert len(long) <= len(lengths) / 20, long


def test_no_module_has_a_name_that_says_nothing():
    # commands/ bear the names of their commands.
    named = {name for name in MODULES if not name.startswith("commands.")}
    words = {word for name in named for word in name.split(".")} | {path.stem for path in SHIPPED}
    assert not words & {"model", "models", "util", "utils", "helper", "helpers", "common", "misc"}


def test_modules_are_imported_by_name_at_run_time_in_few_places_only():
    """The command line and the master, which must not load what they do not use, and the doors to what
    only an extra brings."""
    dynamic = {name for name, path in MODULES.items() if "import_module(" in path.read_text()}
    extras = {"services", "state", "store", "ledger", "commands.budget", "policies.reply_cache"}
    assert dynamic == {"cli", "serving"} | extras
