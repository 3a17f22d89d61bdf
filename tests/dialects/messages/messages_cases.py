"""Case files as neutral values and back: ``{"is": "Text", "text": "hi"}`` is ``Text("hi")``."""

from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from gateway import errors, json_text, sse, usage
from gateway.dialects import vocabulary

CASES = Path(__file__).parent / "cases"
_CLASSES = {name: value for name, value in vars(vocabulary).items() if is_dataclass(value)}
_CLASSES |= {"Usage": usage.Usage, "Fault": errors.Fault}


def cases(folder: str, ending: str = ".json") -> list[Path]:
    found = sorted((CASES / folder).glob(f"*{ending}"))
    assert found, f"no cases in {folder}"
    return found


def load(path: Path) -> Any:
    return json_text.parse(path.read_bytes())


def build(value: Any) -> Any:
    """JSON as neutral values; an object without ``is`` stays an object."""
    if isinstance(value, list):
        return [build(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: build(member) for name, member in value.items() if name != "is"}
    return _CLASSES[value["is"]](**members) if "is" in value else members


def dump(value: Any) -> Any:
    """Neutral values as JSON, without what is as it is by default."""
    if isinstance(value, list):
        return [dump(item) for item in value]
    if isinstance(value, dict):
        return {str(name): dump(member) for name, member in value.items()}
    if not is_dataclass(value):
        return value
    said = {f.name: getattr(value, f.name) for f in fields(value) if not _is_default(f, getattr(value, f.name))}
    return {"is": type(value).__name__} | dump(said)


def _is_default(field: Field, value: Any) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return type(default) is type(value) and default == value


def asked(prompt: vocabulary.Prompt | None = None, model: str = "public-name") -> vocabulary.Asked:
    """Counted ids, so that what is written is the same in every run."""
    count = iter(range(1, 1000))
    prompt = prompt or vocabulary.Prompt("messages", model)
    return vocabulary.Asked(model, 1735689600, lambda prefix: f"{prefix}{next(count)}", prompt)


def cut(data: bytes, size: int) -> list[sse.Event]:
    """The events in *data* as they come out when it arrives in pieces of *size* bytes."""
    splitter, found = sse.Splitter(), []
    for start in range(0, len(data), size):
        found += sse.events(splitter.feed(data[start : start + size]))
    return found + sse.events(splitter.rest())
