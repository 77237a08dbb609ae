"""Between the WebSocket library and Bokeh's deserializer, which makes an array of it, no buffer is copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from bokeh.models import ColumnDataSource

from bokehwire import pull_session
from bokehwire.protocol import Buffer
from bokehwire.session import encoding

from ..apps import model
from ..live import LiveServer
from .spying import SpyTransport

SIZE = 100_000


@pytest.mark.parametrize("name", ["tornado", "aiohttp"])
def test_arrays_reach_bokeh_as_the_library_gives_them(
    name: str, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    to_bokeh = encoding.to_bokeh

    def note(content: Any, buffers: Sequence[Buffer]) -> Any:
        serialized = to_bokeh(content, buffers)
        given.extend(buffer.data for buffer in serialized.buffers)
        return serialized

    monkeypatch.setattr(encoding, "to_bokeh", note)
    spy = SpyTransport(name)
    with pull_session(url=server.url("/slider"), transport=spy) as session:
        document, column = session.document, np.arange(SIZE, dtype=np.float64)
        assert document is not None
        server.edit(
            session.id, lambda there: there.add_root(ColumnDataSource(data={"x": column}, name="arrays")), "/slider"
        )
        session.wait_for(lambda: document.get_model_by_name("arrays") is not None)
        session.pull()
        assert (model(document, "arrays").data["x"] == column).all()
    assert len(given) == 2, "one in the patch, one in the pull"
    assert all(any(data is frame for frame in spy.received_buffers) for data in given)
