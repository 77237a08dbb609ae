"""Captures the exchanges of one kind of server into specs/transcripts, or another folder."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import bokeh

from .playing import CLIENTS, capture
from .transcript import FOLDER

# The same frames every time, the scripts from the Bokeh server, and the tap's port is nobody's origin.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "BOKEH_RESOURCES": "server", "BOKEH_ALLOW_WS_ORIGIN": "*"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.capture", description=__doc__)
    parser.add_argument("server", choices=("tornado", "asgi"))
    parser.add_argument("--client", action="append", choices=tuple(CLIENTS), help="all of them by default")
    parser.add_argument("--exchange", action="append", help="by name; all of them by default")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="instead of specs/transcripts")
    options = parser.parse_args()
    os.environ.update(_ENVIRONMENT)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        for client in options.client or CLIENTS:
            if not options.exchange:
                shutil.rmtree(options.folder / f"{bokeh.__version__}-{options.server}-{client}", ignore_errors=True)
            for exchange in CLIENTS[client]:
                if options.server in exchange.servers and exchange.name in (options.exchange or [exchange.name]):
                    print(processes.submit(capture, options.server, client, exchange.name, options.folder).result())


if __name__ == "__main__":
    main()
