"""Write the parts of the specification that the code decides: the state machine and the JSON Schemas.

    python specs/generate.py

writes specs/state-machine.md and specs/schema/. A test compares them with what this would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from inspect import cleandoc
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bokehwire.protocol import (
    REPLIES,
    TABLE,
    Effect,
    Generation,
    Input,
    MessageType,
    Role,
    State,
    outcome,
    wire3,
    wire4,
)
from bokehwire.protocol.contents import CONTENTS

HERE = Path(__file__).parent
NOTE = "<!-- Written by generate.py from src/protocol/table.py; do not edit. -->"
REPLY_KINDS = frozenset[MessageType]().union(*REPLIES.values())
KINDS = {Generation.V3: wire3.KINDS, Generation.V4: wire4.KINDS}


def label(given: Input, effect: Effect) -> str:
    """A line on an arrow: what happens, and what it leads to."""
    return given.value if effect in (Effect.READ, Effect.CLOSE) else f"{given.value} / {effect.value.split(';')[0]}"


def drawing(role: Role) -> Iterator[str]:
    """A Mermaid state diagram of one role.

    Arrows between the same two states are joined; faults of our caller are left out.
    """
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.HANDSHAKE.name}"
    for before, after in product(State, State):
        given = [
            label(given, then.effect)
            for (its_role, state, given), then in TABLE.items()
            if (its_role, state, then.state) == (role, before, after) and then.effect is not Effect.READ
        ]
        broken = any(outcome(role, before, given).fault == "peer" for given in Input)
        if after is State.FAILED and broken and before is not State.FAILED:
            given.append("anything else received")
        if given:
            yield f"    {before.name} --> {after.name}: {'<br>'.join(given)}"
    yield f"    {State.CLOSED.name} --> [*]"
    yield "```"


def table(role: Role) -> Iterator[str]:
    """Every input in every state of one role."""
    yield "| | " + " | ".join(state.name for state in State) + " |"
    yield "|---" * (len(State) + 1) + "|"
    for given in Input:
        cells = []
        for state in State:
            found = outcome(role, state, given)
            if found.effect is not None:
                cells.append(f"{found.effect.value} → {found.state.name}")
            else:
                cells.append("*peer's fault* → FAILED" if found.fault == "peer" else "*caller's fault*")
        yield f"| {given.value} | " + " | ".join(cells) + " |"


def state_machine() -> str:
    """The text of state-machine.md."""
    lines = [
        "# The state machine of a connection",
        "",
        NOTE,
        "",
        "Waiting for a reply is not a state: the requests in flight are a map beside it. A pair of state and input",
        "that is not in the table is a protocol error: the peer's, if the input was received, which finishes the",
        "connection; our caller's, if it was to be sent, which changes nothing. In CLOSED nothing can come from the",
        "peer. An exception that nobody could foresee, while a frame is read, leads to FAILED as well.",
        "",
    ]
    for role in Role:
        lines += [f"## {role.value.capitalize()}", "", *drawing(role), "", *table(role), ""]
    lines += ["## Replies", "", "| request | may be answered by |", "|---|---|"]
    lines += [f"| {request.value} | {', '.join(sorted(kinds))} |" for request, kinds in REPLIES.items()]
    return "\n".join(lines) + "\n"


Id = Annotated[str, msgspec.Meta(min_length=1)]
Buffers4 = Annotated[list[Id], msgspec.Meta(max_length=10_000, extra_json_schema={"uniqueItems": True})]


def header_type(generation: Generation, kind: MessageType) -> type[msgspec.Struct]:
    """The header of one kind: its msgtype fixed, its reqid required if it is a reply."""
    wire = wire3 if generation is Generation.V3 else wire4
    fields: list[Any] = [("msgid", str if generation is Generation.V3 else Id), ("msgtype", Literal[kind.value])]
    # Generation 3 ignores what it does not know. Generation 4 does not, but takes a reqid that has no meaning.
    if kind in REPLY_KINDS:
        fields += [("reqid", str)]
    elif generation is Generation.V4:
        fields += [("reqid", str | None, None)]
    fields += [("num_buffers", Annotated[int, msgspec.Meta(ge=0)], 0)] if generation is Generation.V3 else []
    known = {field.name for field in msgspec.structs.fields(wire.Header)}
    assert {field[0] for field in fields} <= known
    return msgspec.defstruct("Header", fields, forbid_unknown_fields=generation is Generation.V4)


def message_type(generation: Generation, kind: MessageType) -> type[msgspec.Struct]:
    """A struct of one kind of message, which decides what its schema is.

    In generation 4 it is the envelope. In generation 3 it is an object that holds the text frames of a message by their
    names, and the headers of its buffers in a list.
    """
    header = header_type(generation, kind)
    if generation is Generation.V3:
        fields: list[Any] = [("header", header), ("metadata", dict[str, Any]), ("content", CONTENTS[kind])]
        return msgspec.defstruct("Message", [*fields, ("buffers", list[wire3.BufferHeader], [])])
    fields = [("header", header), ("content", CONTENTS[kind]), ("buffers", Buffers4)]
    return msgspec.defstruct("Message", fields, forbid_unknown_fields=True)


def schema(generation: Generation, kind: MessageType) -> dict[str, Any]:
    """The JSON Schema of one kind of message."""
    found = _with_clean_descriptions(msgspec.json.schema(message_type(generation, kind)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{kind.value}, wire generation {generation.value}",
        "description": (
            "What a receiver finds in a well-formed message. A sender writes the keys that are named here alone; "
            f"what else a receiver must take is in wire-{generation.value}.md and messages.md."
        ),
        **found,
    }


def _with_clean_descriptions(node: Any) -> Any:
    """Take the indentation of docstrings out of descriptions: Python 3.13 and newer keep none, older ones do."""
    if isinstance(node, list):
        return [_with_clean_descriptions(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: cleandoc(item) if key == "description" and isinstance(item, str) else _with_clean_descriptions(item)
        for key, item in node.items()
    }


def files() -> dict[str, str]:
    """Every generated file by its path below specs/."""
    made = {"state-machine.md": state_machine()}
    for generation, kind in product(Generation, MessageType):
        if kind.value in KINDS[generation]:
            text = json.dumps(schema(generation, kind), indent=2, ensure_ascii=False) + "\n"
            made[f"schema/generation-{generation.value}/{kind.value}.json"] = text
    return made


def main() -> None:
    """Write them, and remove schemas of kinds that are no more."""
    made = files()
    for path in HERE.glob("schema/*/*.json"):
        if str(path.relative_to(HERE)) not in made:
            path.unlink()
    for name, text in made.items():
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
