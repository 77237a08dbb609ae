"""Records what real clients and real Bokeh servers say to each other: specs/transcripts/README.md.

`python -m tools.capture tornado` (or `asgi`) captures every exchange with the Bokeh that is installed.
"""
