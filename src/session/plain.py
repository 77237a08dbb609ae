"""Which changes from the server bring nothing in and take nothing out: most do not, and need not be looked through."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.model import Model

__all__ = ["PLAIN", "are_plain", "may_hold_models"]

PLAIN = frozenset({str, int, float, bool, type(None)})
"""The types of values that are no container and hold nothing."""

_PROPERTIES = 4096  # more than Bokeh's models have


def are_plain(document: Document, events: list[Any]) -> bool:
    """Say whether all that changes from the server do is to set properties that cannot hold models to plain values.

    Such changes write out no model, refer to none that the document does not have, and take none out of it.

    Args:
        document: The document the changes are for.
        events: The changes, which may be malformed.
    """
    by_id = document.models.get_by_id
    for event in events:
        if type(event) is not dict or event.get("kind") != "ModelChanged" or type(event.get("new", ...)) not in PLAIN:
            return False
        reference, attr = event.get("model"), event.get("attr")
        if type(reference) is not dict or len(reference) != 1 or type(attr) is not str:
            return False
        identity = reference.get("id")
        model = by_id(cast(Any, identity)) if type(identity) is str else None
        if model is None or may_hold_models(type(model), attr):
            return False
    return True


def may_hold_models(kind: type[Model], attr: str) -> bool:
    """Say whether a property may have models in its values. One that is unknown here, or an alias, may.

    Args:
        kind: The class of the model.
        attr: The name of the property.
    """
    return _may_hold_models(cast(Any, kind), attr)  # mypy takes Bokeh 4's classes of models for unhashable


@lru_cache(_PROPERTIES)
def _may_hold_models(kind: Any, attr: str) -> bool:
    return bool(getattr(kind.lookup(attr, raises=False), "has_ref", True))
