"""What ``gateway plugin new`` writes: a working plugin called acme, with another name put in its place.

The files bear ``.txt`` behind their names, so that nobody takes them for the gateway's own.
"""

import re
from pathlib import Path

from gateway.loading import shipped_providers
from gateway.plugin_manager import find_plugins

_FILES = Path(__file__).resolve().parent / "files"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write the package of a plugin called *name* into *folder*/gateway-*name*; the paths written.

    Raises ValueError for a name that cannot be one or is taken, and for a folder that is not empty.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a plugin: expected lower-case letters and digits, such as acme")
    if name in shipped_providers() or name in find_plugins():
        raise ValueError(f"{name!r} is taken: `gateway plugins --all` and docs/providers.md list what there is")
    root = folder / f"gateway-{name}"
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"{root} is there already, and not empty")
    written = []
    for source in sorted(_FILES.rglob("*.txt")):
        target = root / _renamed(str(source.relative_to(_FILES)).removesuffix(".txt"), name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")
        written.append(target)
    return sorted(written, key=lambda path: len(path.parts))


def _renamed(text: str, name: str) -> str:
    """*text* of the plugin acme for the plugin *name*: in modules, variables and titles, too."""
    word = name.replace("-", "_")
    forms = {
        "gateway_acme": f"gateway_{word}",
        "test_acme": f"test_{word}",
        "ACME": word.upper(),
        "Acme": word.replace("_", " ").title(),
        "acme": name,
    }
    return re.sub("|".join(forms), lambda match: forms[match[0]], text)
