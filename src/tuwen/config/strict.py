"""What every settings file is: strict, frozen, and able to name the file and line of each of its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from tuwen.config.yaml import Lines, place_of, written
from tuwen.errors import ConfigError, close_names, did_you_mean
from tuwen.slips import first_slip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(BaseModel):
    """``use: NAME`` and its options; a bare string is a component without options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Document(Strict):
    """One whole file."""

    _lines: Lines = PrivateAttr(default_factory=dict)
    _path: str = PrivateAttr(default="settings")

    @classmethod
    def read(cls, path: str | Path, overrides: list[str] | None = None) -> Self:
        """Read ``path``; ``overrides`` are ``dotted.key=VALUE`` strings as ``--set`` takes them.

        Raises:
            ConfigError: with file and line, what is allowed, and what was probably meant.
        """
        if Path(path).is_dir():
            raise _folder(cls, Path(path))
        return cls.from_written(*written(path, overrides or []), str(path))

    @classmethod
    def from_written(cls, data: dict[str, Any], lines: Lines, path: str) -> Self:
        """What :func:`~tuwen.config.yaml.written` gave, changed or not; ``path`` is told as its place."""
        try:
            found = cls.model_validate(data)
        except ValidationError as error:
            raise _explain(error, data, cls, path, lines) from None
        found = found.beside(Path(path).parent)
        found._lines, found._path = lines, path
        return found

    def beside(self, folder: Path) -> Self:
        """The same with the paths that are relative to the file made absolute."""
        return self

    def where(self, *loc: str | int) -> str:
        """``file:line`` of a key, or the flag that set it."""
        return place_of(self._path, self._lines, loc)


def _folder(kind: type[Document], folder: Path) -> ConfigError:
    """A folder where a file should be: the file in it, or how to get one."""
    name = f"{kind.__name__.upper()}.yaml"
    found = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in (".yaml", ".yml"))
    if found:
        todo = f"name the file in it: {folder / (name if name in found else found[0])}"
    else:
        todo = f"write one: README, 'Your own shop'; 'tuwen sample FOLDER' writes a shop with a {name} to copy from"
    return ConfigError(f"this is a folder, not a {name}", where=str(folder), todo=todo)


def _explain(error: ValidationError, data: Any, kind: type[BaseModel], path: str, lines: Lines) -> ConfigError:
    slip = first_slip(error.errors(), data)
    loc, name, allowed, todo = slip.place, slip.name, slip.allowed, slip.todo
    where = place_of(path, lines, loc)
    if slip.kind == "extra_forbidden":
        known = _fields(kind, loc[:-1])
        return ConfigError(f"unknown key '{name}'", where=where, allowed=known, todo=did_you_mean(str(loc[-1]), known))
    if slip.kind == "missing":  # a component takes any key, so a misspelt one only shows as the missing one
        written = [str(place[-1]) for place in lines if place and place[:-1] == loc[:-1]]
        near = close_names(str(loc[-1]), written)
        todo = f"is '{near[0]}' meant to be '{loc[-1]}'?" if near else None
    return ConfigError(f"'{name}'{slip.wrong}", where=where, seen=slip.seen, allowed=allowed, todo=todo)


def _fields(kind: Any, loc: tuple[str | int, ...]) -> list[str]:
    """The field names of the model found by following ``loc`` down from ``kind``."""
    for part in loc:
        field = getattr(kind, "model_fields", {}).get(part)
        if field is None:
            return []
        kind = next((a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_model(a)), None)
    return list(getattr(kind, "model_fields", {}))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
