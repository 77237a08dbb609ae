"""`python -m bokehwire.testing.probe URL`: print which behaviours of the protocol a server keeps."""

from __future__ import annotations

import argparse
import sys

from ...protocol import BokehWireError
from . import server_conformance


def main() -> int:
    """Print the table.

    Returns:
        0 if no behaviour is broken, 1 if one is, 2 if nobody answers at the URL.
    """
    parser = argparse.ArgumentParser(prog="python -m bokehwire.testing.probe", description=__doc__)
    parser.add_argument("url", help="the http or https URL of an application, as in a browser")
    parser.add_argument("--transport", choices=("tornado", "aiohttp"), default="tornado", help="tornado by default")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="for each behaviour; 10")
    given = parser.parse_args()
    try:
        report = server_conformance(given.url, transport=given.transport, timeout=given.timeout)
    except (BokehWireError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(report.as_table())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
