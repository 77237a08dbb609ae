"""Setting single properties to what the server has, out of a whole document that it sent, keeping identities."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, cast

import msgspec
from bokeh.core.serialization import SerializationError, Serializer
from bokeh.models.sources import ColumnarDataSource

from .changes import ROOTS, TITLE
from .identity import is_generated
from .plain import may_hold_models
from .wire_objects import comparable, objects

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.model import Model

    from ..protocol import Buffer
    from .requests import Key

__all__ = ["Snapshot", "config_id"]


class Snapshot:
    """The server's document as it was when a PULL-DOC-REPLY was made.

    Args:
        content: The decoded content of the reply.

    Raises:
        ValueError: It holds no document.
    """

    def __init__(self, content: Any) -> None:
        match content:
            case {"doc": {"title": str(title), "roots": [*roots]} as doc} if all(_has_id(root) for root in roots):
                self.title = title
                self.config_id = config_id(doc)
                self._roots = roots
                self._definitions = _definitions(doc)
            case _:
                raise ValueError("the server's PULL-DOC-REPLY holds no document.")

    @property
    def identities(self) -> AbstractSet[str]:
        """The ids of all models."""
        return self._definitions.keys()

    @property
    def root_ids(self) -> list[str]:
        """The ids of the roots, in order."""
        return [root["id"] for root in self._roots]

    def keys(self, document: Document) -> frozenset[Key]:
        """Give all that can differ between a document and the server's.

        Args:
            document: The document here.

        Returns:
            The title, the roots, and every property of the models of both that has a value on either side.
        """
        found: set[Key] = {TITLE, ROOTS}
        for identity, definition in self._definitions.items():
            model = document.get_model_by_id(cast(Any, identity))
            if model is not None:
                names = {*definition.get("attributes", {}), *model.properties_with_values(include_defaults=False)}
                found.update((identity, name) for name in names)
        return frozenset(found)

    def continues(
        self, document: Document, last_config_id: str | None, removed: Container[str], was_emptied: bool
    ) -> bool:
        """Say whether this can be the document of the session that a document was kept equal to.

        A server that has made a new session under the same id has made a new document for it, whose configuration is a
        model with an id that the process has not given before (`Document.to_json` of 3.9.2, 3.10.2 and 4.0.0.dev8
        writes it). Where somebody has pushed another document, it has the configuration of that one; then the models
        tell, unless all of them are others as well. If the server was restarted, ids may come again, but then hardly
        ever for the same kinds of models in the same places.

        Args:
            document: The document here.
            last_config_id: The id of the configuration that the server's document had before, None if it had none.
            removed: The ids of roots that the server was taking out last, as when another client pushes.
            was_emptied: Whether it was the server that has taken out the last root here.
        """
        known = [
            (model, definition)
            for name, definition in self._definitions.items()
            if is_generated(name) and (model := document.get_model_by_id(cast(Any, name))) is not None
        ]
        if any(_kind(model) != definition.get("name") for model, definition in known):
            return False
        if last_config_id is not None and last_config_id == self.config_id:
            return True
        if was_emptied and not document.roots:
            return True
        return bool(known) or any(is_generated(name) and name in removed for name in self.root_ids)

    def can_show(self, key: Key | None) -> bool:
        """Say whether the server's document has that to which a key belongs."""
        return key is not None and (key in (TITLE, ROOTS) or key[0] in self._definitions)

    def attribute(self, key: Key) -> Any:
        """Give the wire value of a property, UNSET where it has its default or there is no such model."""
        identity, name = key
        return self._definitions.get(identity, {}).get("attributes", {}).get(name, msgspec.UNSET)

    def is_default(self, document: Document, key: Key) -> bool:
        """Say whether a property has its default value at the server, which a document does not write out.

        Args:
            document: The document here.
            key: The property.
        """
        identity, attr = key
        definition = self._definitions.get(identity)
        known = document.get_model_by_id(cast(Any, identity)) is not None
        return known and definition is not None and attr not in definition.get("attributes", {})

    def links(self, document: Document, key: Key) -> bool:
        """Say whether what is written for a key can refer to models, so that its place among others matters.

        Args:
            document: The document here.
            key: The property, or the roots.
        """
        identity, attr = key
        model = document.get_model_by_id(cast(Any, identity))
        if key == ROOTS:
            return True
        if model is None or (isinstance(model, ColumnarDataSource) and attr == "data"):
            return False
        return may_hold_models(type(model), attr)

    def has_other(self, document: Document, key: Key, buffers: Sequence[Buffer]) -> bool:
        """Say whether the server has another value of a property that cannot hold models.

        Args:
            document: The document here.
            key: The property.
            buffers: Those that the server's document refers to.
        """
        identity, attr = key
        model = document.get_model_by_id(cast(Any, identity))
        attributes = self._definitions.get(identity, {}).get("attributes", {})
        # Gone on one side, and the removal says so, or has said so; or a default.
        return model is not None and attr in attributes and not _has(model, attr, attributes[attr], buffers, set())

    def events_for(
        self, document: Document, keys: Iterable[Key], buffers: Sequence[Buffer] = ()
    ) -> list[dict[str, Any]]:
        """Write the changes that bring properties of a document to what the server has, where that is no default.

        Models that the document has already are written as references, so that they stay the same objects.

        Args:
            document: The document here.
            keys: The properties, and the roots where they are in doubt.
            buffers: Those that the server's document refers to.

        Returns:
            Elements for a PATCH-DOC's "events".
        """
        relative = _Relative(document, self._definitions)
        known = set(document.models)
        events: list[dict[str, Any]] = []
        for key in keys:
            identity, attr = key
            attributes = self._definitions.get(identity, {}).get("attributes", {})
            model = document.get_model_by_id(cast(Any, identity))
            if key == ROOTS:
                events += self._roots_events(document, relative)
            elif model is not None and attr in attributes and not _has(model, attr, attributes[attr], buffers, known):
                value = relative.write(attributes[attr])
                events.append({"kind": "ModelChanged", "model": {"id": identity}, "attr": attr, "new": value})
        return events

    def _roots_events(self, document: Document, relative: _Relative) -> list[dict[str, Any]]:
        """Take out what the server has not and add what is missing; or all, because there is no event for an order."""
        wanted = self.root_ids
        present = [str(root.id) for root in document.roots]
        kept = [identity for identity in present if identity in wanted]
        if kept != wanted[: len(kept)]:
            kept = []
        removals = [{"kind": "RootRemoved", "model": {"id": identity}} for identity in present if identity not in kept]
        additions = [{"kind": "RootAdded", "model": relative.write(root)} for root in self._roots[len(kept) :]]
        return [*removals, *additions]


class _Relative:
    """Writes values as seen from a document: references to what it has, whole models for what it has not."""

    def __init__(self, document: Document, definitions: dict[str, dict[str, Any]]) -> None:
        self._document = document
        self._definitions = definitions
        self._written: set[str] = set()

    def write(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.write(item) for item in value]
        if not isinstance(value, dict):
            return value
        identity = value.get("id")
        if isinstance(identity, str) and (value.get("type") == "object" or set(value) == {"id"}):
            return self._model(identity, value)
        return {key: self.write(item) for key, item in value.items()}

    def _model(self, identity: str, value: dict[str, Any]) -> dict[str, Any]:
        known = self._document.get_model_by_id(cast(Any, identity)) is not None
        definition = self._definitions.get(identity, value)
        if known or identity in self._written or "type" not in definition:
            return {"id": identity}
        self._written.add(identity)
        return {key: self.write(item) for key, item in definition.items() if key != "id"} | {"id": identity}


def _has(model: Model, attr: str, value: Any, buffers: Sequence[Buffer], known: set[Model]) -> bool:
    """Say whether a property has a value of the wire. Bokeh takes one with a NaN in it for another one."""
    try:
        here = getattr(model, attr)
        if not isinstance(value, dict | list):
            return type(here) is type(value) and bool(here == value)
        written = Serializer(references=known, deferred=False).encode(here)
    except (AttributeError, ValueError, SerializationError):
        return False  # there is none here, or it was refused where it was set
    return bool(comparable(written, ()) == comparable(value, buffers))


def config_id(doc: dict[str, Any]) -> str | None:
    """Give the id of the configuration of a wire document, None if it has none.

    Args:
        doc: The document.
    """
    match doc.get("config"):
        case {"id": str(identity)}:
            return identity
        case _:
            return None


def _kind(model: Model) -> str:
    name: str = type(model).__qualified_model__
    return name


def _has_id(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _definitions(doc: Any) -> dict[str, dict[str, Any]]:
    """Index the models of a wire document by id."""
    found: dict[str, dict[str, Any]] = {}
    for node in objects(doc):
        identity = node.get("id")
        if node.get("type") == "object" and isinstance(identity, str):
            found[identity] = node
    return found
