"""The machine's changes on a real server over a socket, where the operating system decides when what arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from bokeh.document import Document
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bokehwire import AsyncClientSession, PatchRejected, async_pull_session

from ..servers import SERVER_KINDS, LiveServer, make_server
from ..session.faces import contents, differences
from .edits import Edit, Side, edits, seed
from .world import WITHHOLDS

PATH = "/seed"
# By whom: the server, or one of two clients; None lets the loop turn.
STEPS = st.lists(st.tuples(st.sampled_from([None, "s", "a", "b"]), edits("poison", "click")), min_size=1, max_size=20)


@pytest.fixture(scope="module", params=SERVER_KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    def app(document: Document) -> None:
        seed(document, Side("s"))

    with make_server(request.param, {PATH: app}) as running:
        yield running


@asynccontextmanager
async def two_sessions(server: LiveServer) -> AsyncIterator[dict[str, AsyncClientSession]]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(async_pull_session(url=server.url(PATH)))
        other = await stack.enter_async_context(async_pull_session(url=server.url(PATH), session_id=first.id))
        yield {"a": first, "b": other}


async def at_rest(session: AsyncClientSession) -> bool:
    """Waits until the server has answered everything, and says whether it has refused anything of it."""
    refused = False
    while True:
        try:
            await session.force_roundtrip()
        except PatchRejected:  # named one call after the other
            refused = True
            continue
        return refused


async def play(server: LiveServer, steps: list[tuple[str | None, Edit]]) -> None:
    sides = {label: Side(label) for label in "sab"}
    sides["s"].models += 100  # the server's process has made the seed

    async with two_sessions(server) as sessions:
        session_id = sessions["a"].id
        under_way: list[asyncio.Future[None]] = []
        for who, edit in steps:
            if who is None:
                await asyncio.sleep(0)
            elif who == "s":
                change = partial(edit.apply, side=sides["s"])
                under_way.append(asyncio.ensure_future(server.aedit(session_id, change, PATH)))
            else:
                document = sessions[who].document
                assert document is not None
                edit.apply(document, sides[who])
        await asyncio.gather(*under_way)
        # What the one has sent last, the other has to hear.
        refused = [await at_rest(session) for session in (*sessions.values(), *sessions.values())]
        if WITHHOLDS and any(refused):
            for session in sessions.values():
                await session.pull()
        theirs = await server.aedit(session_id, contents, PATH)
        for session in sessions.values():
            ours = contents(session.document)
            assert theirs == ours, differences(theirs, ours)


# Each example takes time of a server, and what arrives when is not the same again: nothing is shrunk.
@settings(
    derandomize=settings.get_current_profile_name() == "quick",
    max_examples=max(10, settings.default.max_examples // 50),  # type: ignore[union-attr]
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(steps=STEPS)
def test_whatever_is_done_on_a_real_server_all_end_equal(
    server: LiveServer, steps: list[tuple[str | None, Edit]]
) -> None:
    asyncio.run(play(server, steps))
