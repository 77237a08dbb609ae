"""Fuzzes the receive path, guided by the coverage of bokehwire.protocol; fuzz/README.md says how."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

# The first import of the protocol has to be here, since importing is when code is instrumented.
with atheris.instrument_imports(include=["bokehwire.protocol"]):
    from .mutation import mutate
    from .scenario import GENERATION_4, RAW, SERVER
    from .seeds import CORPUS
    from .twins import check_twins


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """Ours, and those that are libFuzzer's."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", allow_abbrev=False, description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long; 60 by default")
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"), help="where inputs are kept; build/fuzz")
    parser.add_argument("--role", choices=("client", "server"), help="only this end")
    parser.add_argument("--generation", choices=("3", "4"), help="only this wire generation")
    parser.add_argument("--raw", choices=("yes", "no"), help="only with content left undecoded, or only decoded")
    parser.add_argument("--bokeh", action="store_true", help="compare with the installed Bokeh's receiver, too")
    return parser.parse_known_args()


def main() -> None:
    options, rest = arguments()
    # The bits of the first byte that the options fix, and their values.
    fixed = {SERVER: (options.role, "server"), GENERATION_4: (options.generation, "4"), RAW: (options.raw, "yes")}
    mask = sum(bit for bit, (chosen, _) in fixed.items() if chosen is not None)
    value = sum(bit for bit, (chosen, on) in fixed.items() if chosen == on)
    checks: list[Callable[[bytes], object]] = [check_twins]
    if options.bokeh:
        from .against_bokeh import check_against_bokeh

        # Bokeh's receiver logs what it refuses.
        logging.disable(logging.CRITICAL)
        checks.append(check_against_bokeh)

    def one(data: bytes) -> None:
        scenario = bytes([(data[0] if data else 0) & ~mask | value]) + data[1:]
        for check in checks:
            check(scenario)

    options.work.mkdir(parents=True, exist_ok=True)
    given = [f"-max_total_time={options.seconds}", "-max_len=4000", f"-artifact_prefix={options.work}/", *rest]
    if not any(Path(argument).exists() for argument in rest):
        # New inputs are written into the first folder.
        given += [str(options.work), str(CORPUS)]
    atheris.Setup(
        [sys.argv[0], *given],
        one,
        custom_mutator=lambda data, size, seed: mutate(data, size, seed, atheris.Mutate),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
