"""Names to objects: ``{use: NAME, option: value}`` checked against the object's own signature.

A registry lists where each component lives as ``module:attribute``, so that listing names imports nothing heavy.
Keyword-only parameters of a component are its options: annotations are the check, defaults the only defaults.
Plug-ins add names through entry points of the group ``tuwen.KIND`` (for example ``tuwen.encoder``).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from tuwen.errors import ConfigError, did_you_mean
from tuwen.slips import first_slip

# kinds of option that many components share; the bounds are checked where the run is read
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Registry:
    """The components of one kind.

    Args:
        kind: the word for one of them ("encoder").
        entries: name → ("module:attribute", one line that says what it is).
    """

    def __init__(self, kind: str, entries: Mapping[str, tuple[str, str]]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def entries(self) -> dict[str, tuple[str, str]]:
        """name → (place, summary), built-in ones first, plug-ins after."""
        found = {e.name: (e.value, f"plug-in from {e.dist.name if e.dist else '?'}") for e in _plug_ins(self.kind)}
        return {**found, **self._entries}

    def load(self, name: str, where: str | None = None) -> Any:
        """The class or function called ``name``.

        Raises:
            ConfigError: no such component.
        """
        entries = self.entries()
        if name not in entries:
            raise ConfigError(
                f"there is no {self.kind} called '{name}'",
                where=where,
                allowed=entries,
                todo=did_you_mean(name, entries) or f"tuwen list {self.kind}s",
            )
        module, _, attribute = entries[name][0].partition(":")
        return getattr(import_module(module), attribute)

    def options(self, name: str, options: Mapping[str, Any], where: str | None = None) -> dict[str, Any]:
        """``options`` coerced and completed by the component's own signature.

        Raises:
            ConfigError: unknown name, unknown option (with a did-you-mean) or a value of the wrong kind.
        """
        model = signature_model(self.load(name, where))
        try:
            return dict(model(**options))
        except ValidationError as error:
            raise self._explain(error, name, options, model, where) from None

    def build(self, name: str, options: Mapping[str, Any], *given: Any, where: str | None = None) -> Any:
        """Check ``options`` and call the component: ``component(*given, **options)``."""
        complete = self.options(name, options, where)
        try:
            return self.load(name, where)(*given, **complete)
        except ConfigError as error:  # the component knows what is wrong, only the caller knows where it stands
            raise ConfigError(
                f"{self.kind} '{name}': {error.what}",
                where=error.where or where,
                seen=error.seen,
                allowed=error.allowed,
                todo=error.todo,
            ) from None

    def _explain(
        self, error: ValidationError, name: str, options: Mapping[str, Any], model: type[BaseModel], where: str | None
    ) -> ConfigError:
        slip = first_slip(error.errors(), options)
        if slip.kind == "extra_forbidden":
            known = list(model.model_fields)
            return ConfigError(
                f"{self.kind} '{name}' has no option '{slip.name}'",
                where=where,
                allowed=known or "no options",
                todo=did_you_mean(slip.name, known),
            )
        return ConfigError(
            f"{self.kind} '{name}', option '{slip.name}'{slip.wrong}",
            where=where,
            seen=slip.seen,
            allowed=slip.allowed,
            todo=slip.todo,
        )


@cache
def _plug_ins(kind: str) -> tuple[Any, ...]:
    return tuple(entry_points(group=f"tuwen.{kind}"))


@cache
def signature_model(component: Any) -> type[BaseModel]:
    """A pydantic model of a component's keyword-only parameters."""
    target = component.__init__ if inspect.isclass(component) else component
    hints = get_type_hints(target, include_extras=True)
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default)
        for p in inspect.signature(target).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return create_model(f"{component.__name__}Options", __config__=config, **fields)
