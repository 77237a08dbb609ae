"""Whatever the server and its clients do, and however late their frames arrive, in quiet they are equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .edits import Edit, edits, edits_of
from .world import World

# Where one column of a source is changed while rows are held, it is longer than the others until these are let go.
pytestmark = pytest.mark.filterwarnings("ignore:.*ColumnDataSource's columns must be of the same length")

CLIENTS = st.integers(0, 2)
FRAMES = st.one_of(st.integers(1, 3), st.just(1000))
FLAGS = st.booleans()
PLACING = edits_of("append", "nest", "share", "drop", "reverse", "replace", "icon", "switch_source")
WRITING = edits_of("text", "label", "title", "stream", "message")


class Machine(RuleBasedStateMachine):
    """A session with one to three clients; at the end of every run, and now and then between, it comes to rest."""

    world: World

    @initialize(
        clients=st.integers(1, 3),
        figure=st.sampled_from([False] * 7 + [True]),
        reactions=FLAGS,
        answers=FLAGS,
        server_holds=st.sampled_from([False, False, True]),
        pushes=st.sampled_from([False, False, True]),
    )
    def begin(
        self, clients: int, figure: bool, reactions: bool, answers: bool, server_holds: bool, pushes: bool
    ) -> None:
        self.world = World(clients, figure=figure, reactions=reactions, answers=answers)
        self.server_holds = server_holds
        self.pushes = pushes  # not in every run: all models have gone once then, and less can be checked

    def leaves_out(self, edit: Edit) -> bool:
        """Whether a change is one that no client can bring across (specs/sync.md)."""
        return self.server_holds and edit.kind in ("stream", "stream_rollover", "poison")

    @rule(number=CLIENTS, edit=edits())
    def edit_here(self, number: int, edit: Edit) -> None:
        if not self.leaves_out(edit):
            self.world.edit_here(number, edit)

    @rule(edit=edits("poison", "click"))
    def edit_there(self, edit: Edit) -> None:
        if not self.leaves_out(edit):
            self.world.edit_there(edit)

    @rule(
        number=CLIENTS,
        there=PLACING,
        again=PLACING,
        between=WRITING,
        same=FLAGS,
        times=st.integers(2, 6),
        forth=FRAMES,
        back=FRAMES,
    )
    def insist_here(
        self, number: int, there: Edit, again: Edit, between: Edit, same: bool, times: int, forth: int, back: int
    ) -> None:
        """A program that makes the same changes again and again, whatever the server makes of it meanwhile."""
        self.edit_here(number, again)
        self.edit_there(replace(there, which=again.which) if same else there)
        for _ in range(times):
            self.world.deliver_here(number, back)
            self.edit_here(number, between)
            self.edit_here(number, again)
            self.world.deliver_there(number, forth)
            self.world.turn()

    @rule(
        number=CLIENTS,
        edit=edits("poison"),
        within=edits("poison"),
        other=st.sampled_from(["edit", "push", "pull", "receive"]),
        forth=FRAMES,
        back=FRAMES,
    )
    def edit_here_while(self, number: int, edit: Edit, within: Edit, other: str, forth: int, back: int) -> None:
        """A handler, or another thread, does something before the session is told of a change."""

        def meanwhile() -> None:
            match other:
                case "edit":
                    self.edit_here(number, within)
                case "push" if self.pushes:
                    self.world.push(number)
                case "pull":
                    self.world.pull(number)
                case "receive":
                    self.edit_there(within)
            self.world.deliver_there(number, forth)
            self.world.deliver_here(number, back)
            self.world.settle()

        if not self.leaves_out(edit) and not self.leaves_out(within):
            self.world.edit_here_while(number, edit, meanwhile)

    @precondition(lambda self: self.server_holds)
    @rule(policy=st.sampled_from(["combine", "collect"]))
    def hold_there(self, policy: Any) -> None:
        self.world.hold(None, policy)

    @precondition(lambda self: self.server_holds)
    @rule()
    def unhold_there(self) -> None:
        self.world.unhold(None)

    @rule(number=CLIENTS, count=FRAMES)
    def deliver_here(self, number: int, count: int) -> None:
        self.world.deliver_here(number, count)

    @rule(number=CLIENTS, count=FRAMES)
    def deliver_there(self, number: int, count: int) -> None:
        self.world.deliver_there(number, count)

    @rule()
    def turn(self) -> None:
        self.world.turn()

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule(number=CLIENTS)
    def round_trip(self, number: int) -> None:
        self.world.round_trip(number)

    @rule(number=CLIENTS)
    def pull(self, number: int) -> None:
        self.world.pull(number)

    @precondition(lambda self: self.pushes)
    @rule(number=CLIENTS)
    def push(self, number: int) -> None:
        self.world.push(number)

    @rule(number=CLIENTS, policy=st.sampled_from(["combine", "collect"]))
    def hold(self, number: int, policy: Any) -> None:
        self.world.hold(number, policy)

    @rule(number=CLIENTS)
    def unhold(self, number: int) -> None:
        self.world.unhold(number)

    @rule(really=st.sampled_from([False, False, False, True]))
    def quiet(self, really: bool) -> None:
        if really:  # not so often: it compares everything
            self.world.quiet()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.quiet()
            finally:
                self.world.close()


TestMachine = Machine.TestCase
# `make test` plays the same few runs every time, each of which is many changes; `make conformance` draws new ones.
if settings.get_current_profile_name() == "quick":
    TestMachine.settings = settings(stateful_step_count=30, derandomize=True, max_examples=60)
else:
    TestMachine.settings = settings(stateful_step_count=30)
