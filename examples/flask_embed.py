"""A Flask page that customises a session of a Bokeh application before it shows it to the viewer.

Start the application with `bokeh serve app.py --allow-websocket-origin=127.0.0.1:5000`, then this with
`BOKEH_APP=http://localhost:5006/app flask --app examples.flask_embed run`.
"""

from __future__ import annotations

import os

from bokeh.embed import server_session
from flask import Flask, render_template_string

from bokehwire import pull_session

PAGE = "<!doctype html><title>Embedded</title><h1>Hello {{ name }}</h1>{{ script | safe }}"

app = Flask(__name__)


@app.get("/<name>")
def page(name: str) -> str:
    url = os.environ.get("BOKEH_APP", "http://localhost:5006/")
    with pull_session(url=url) as session:
        document = session.document
        assert document is not None
        document.title = f"made for {name}"
        script = server_session(session_id=session.id, url=url)
    return render_template_string(PAGE, name=name, script=script)
