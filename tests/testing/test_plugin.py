"""The pytest plugin, as its users have it: each test here is a run of pytest in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

APP = """
    from bokeh.models import Button, Div

    def app(document):
        button, text = Button(label="count", name="button"), Div(text="0", name="text")
        button.on_click(lambda: text.update(text=str(int(text.text) + 1)))
        document.add_root(button)
        document.add_root(text)
"""
SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
timeout = 50
"""
HAS_ASGI = "importlib.util.find_spec('bokeh.server.asgi') is not None"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with an app, and settings under which a leak is an error."""
    pytester.makeini(SETTINGS)
    pytester.makepyfile(counter=APP)
    return pytester


def run(project: pytest.Pytester, test: str, *options: str, **outcomes: int) -> pytest.RunResult:
    project.makepyfile(test_it=test)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(**outcomes)
    return result


def test_whatever_is_an_app_becomes_a_session(project: pytest.Pytester) -> None:
    script = "from bokeh.io import curdoc\nfrom counter import app\napp(curdoc())\n"
    project.path.joinpath("script.py").write_text(script)
    directory = project.path / "directory"
    directory.mkdir()
    directory.joinpath("main.py").write_text(script)
    run(
        project,
        """
        from pathlib import Path
        import pytest
        from bokeh.application import Application
        from bokeh.application.handlers import FunctionHandler
        from bokehwire.testing import AppFailed
        from counter import app

        class Servable:
            "What Panel's objects offer for making a document."
            def server_doc(self, doc=None, title=None):
                app(doc)
                return doc

        class Viewer:
            def __panel__(self):
                return Servable()

        application = Application(FunctionHandler(app))

        @pytest.mark.parametrize("what", [
            app, application, application, "script.py", Path("script.py"), "directory", Servable(), Viewer(),
            Servable, lambda: Viewer(), lambda document: app(document),
        ])
        def test_counts(bokeh_app, what):
            session = bokeh_app(what)
            session.click("button")
            assert session.find("text").text == "1"

        async def asynchronous(document):
            pass

        @pytest.mark.parametrize(("what", "error", "words"), [
            (3, TypeError, "an app is a function that takes a Document"),
            (lambda: 3, AppFailed, "must return a Panel object, not 3"),
            (asynchronous, TypeError, "asynchronous is asynchronous, and Bokeh awaits no such app"),
            ("nowhere.py", FileNotFoundError, "nowhere.py"),
        ])
        def test_is_no_app(bokeh_app, what, error, words):
            with pytest.raises(error, match=words):
                bokeh_app(what)
        """,
        passed=15,
    )


def test_what_keeps_an_app_from_making_its_document_is_said(project: pytest.Pytester) -> None:
    project.path.joinpath("raises.py").write_text("1 / 0\n")
    project.path.joinpath("wrong.py").write_text("this is no python\n")
    run(
        project,
        """
        import pytest
        from bokehwire.testing import AppFailed

        def broken(document):
            raise LookupError("no such data")

        @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado"])
        def test_a_function(bokeh_app):
            with pytest.raises(AppFailed, match="LookupError: no such data") as caught:
                bokeh_app(broken)
            assert isinstance(caught.value.__cause__, LookupError)

        @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado"])
        def test_a_script(bokeh_app):
            with pytest.raises(AppFailed, match="division by zero"):
                bokeh_app("raises.py")

        def test_no_script(bokeh_app):
            with pytest.raises(RuntimeError, match="(?i)syntax"):
                bokeh_app("wrong.py")
        """,
        passed=5,
    )


def test_everything_is_closed_when_a_test_ends_in_whatever_way(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import pytest
        import threading
        from bokehwire import pull_session
        from counter import app

        opened = []

        @pytest.fixture(autouse=True)
        def servers_are_gone():
            yield
            assert not [thread for thread in threading.enumerate() if thread.name == "bokehwire-app-server"]

        @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado", "aiohttp"])
        def test_fails(bokeh_app, bokeh_server, bokeh_session):
            opened.append(bokeh_app(app))
            server = bokeh_server({"/a": app, "/b": app}, prefix="/under")
            opened.append(bokeh_session(server, "/b"))
            opened.append(pull_session(url=server.url("/a")))  # which nobody closes
            opened.append(bokeh_session(server.url("/a")))
            assert all(session.connected for session in opened[-4:])
            raise LookupError("on purpose")

        def test_they_are_closed():
            assert len(opened) == 12
            for session in opened:
                try:
                    session.wait_for(lambda: not session.connected, 20)
                except RuntimeError:
                    pass
                assert not session.connected
                session.close()
        """,
        failed=3,
        passed=1,
    )


def test_a_shared_server_serves_many_tests_and_viewers(project: pytest.Pytester) -> None:
    project.path.joinpath("script.py").write_text(
        "from bokeh.io import curdoc\nfrom counter import app\napp(curdoc())\n"
    )
    run(
        project,
        """
        import gc
        from pathlib import Path
        import pytest
        from counter import app

        ports = set()

        @pytest.mark.parametrize("turn", range(3))
        def test_shared(bokeh_server, bokeh_session, turn):
            server = bokeh_server({"/": app}, shared=True)
            ports.add(server.port)
            assert len(ports) == 1
            session = bokeh_session(server)
            session.click("button")
            session.expect("text").to_have(text="1")
            viewer = bokeh_session(server, session_id=session.id)
            viewer.click("button")
            session.expect("text").to_have(text="2")

        def test_an_unknown_path_is_named(bokeh_server, bokeh_session):
            with pytest.raises(ValueError, match="no app at '/x'; there are apps at '/'"):
                bokeh_session(bokeh_server(app), "/x")

        def test_two_viewers_of_one_app(bokeh_app):
            session = bokeh_app(app)
            viewer = bokeh_app(app, session_id=session.id)
            viewer.click("button")
            session.expect("text").to_have(text="1")
            assert gc.get_freeze_count()  # what keeps the end of each session short
            assert bokeh_app(app).find("text").text == "0"

        class Counter:
            def document(self, document):
                app(document)

        counter = Counter()

        @pytest.mark.parametrize("what", [lambda: Path("script.py"), lambda: counter.document])
        def test_two_viewers_of_what_is_the_same_only_by_value(bokeh_app, what):
            session = bokeh_app(what())
            viewer = bokeh_app(what(), session_id=session.id)
            viewer.click("button")
            session.expect("text").to_have(text="1")

        @pytest.mark.parametrize("server", [app, 5])
        def test_a_session_of_no_server(bokeh_session, server):
            with pytest.raises(TypeError, match="a session is opened of a server of bokeh_server or of a URL, not of"):
                bokeh_session(server)

        @pytest.mark.parametrize("path", ["a", "/a/", "", 5])
        def test_a_path_that_is_none(bokeh_server, path):
            with pytest.raises(ValueError, match=f"at a path such as '/a', not at {path!r}."):
                bokeh_server({path: app})

        def test_no_apps(bokeh_server):
            with pytest.raises(ValueError, match="a server needs an app"):
                bokeh_server({})

        def test_a_path_does_not_go_with_a_url(bokeh_session):
            with pytest.raises(ValueError, match="the path '/b' goes with a server of bokeh_server; append it"):
                bokeh_session("http://localhost:1/a", "/b")
        """,
        passed=15,
    )


def test_the_transport_is_chosen_by_marker_option_setting_or_parametrisation(project: pytest.Pytester) -> None:
    test = f"""
        import importlib.util
        import pytest
        from counter import app

        by_default = "AsgiTransport" if {HAS_ASGI} else "TornadoTransport"
        names = {{"in-process": by_default, "auto": by_default, "tornado": "TornadoTransport",
                 "aiohttp": "AiohttpTransport"}}

        @pytest.fixture
        def reached_by(bokeh_app):
            def open_and_tell():
                session = bokeh_app(app)
                session.click("button")
                return type(session._session._attachment._transport.inner).__name__
            return open_and_tell

        def test_chosen_by_the_run(reached_by, bokeh_transport):
            assert reached_by() == names[bokeh_transport]

        @pytest.mark.bokeh_transport("aiohttp")
        def test_chosen_by_a_marker(reached_by):
            assert reached_by() == "AiohttpTransport"

        @pytest.mark.bokeh_transport("aiohttp", "tornado")
        def test_chosen_by_a_marker_with_two(reached_by, bokeh_transport):
            assert reached_by() == names[bokeh_transport]

        @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado"], indirect=True)
        def test_chosen_by_an_indirect_parametrisation(reached_by, bokeh_transport):
            assert reached_by() == names[bokeh_transport]

        @pytest.mark.parametrize(("bokeh_transport", "kind"), [("aiohttp", "AiohttpTransport")])
        def test_chosen_by_a_parametrisation(reached_by, kind):
            assert reached_by() == kind
    """
    result = run(project, test, "-v", passed=7)
    result.stdout.fnmatch_lines(["*test_chosen_by_the_run PASSED*"])
    result = run(project, test, "-v", "--bokeh-transport=in-process,tornado,aiohttp", passed=9)
    result.stdout.fnmatch_lines(["*test_chosen_by_the_run[[]aiohttp[]] PASSED*"])
    project.makeini(SETTINGS + "bokeh_transport = tornado\n")
    run(project, test.replace("names[bokeh_transport]", "'TornadoTransport'", 1), "-k", "by_the_run", passed=1)
    result = run(project, test, "-k", "by_the_run", "--bokeh-transport=carrier-pigeon", errors=1)
    result.stdout.fnmatch_lines(["*unknown transport 'carrier-pigeon': use one of 'auto', 'in-process', *"])


ASYNC_TEST = """
    import pytest
    from counter import app

    opened = []

    {mark}
    async def test_counts(async_bokeh_app, async_bokeh_session, bokeh_server):
        for session in (await async_bokeh_app(app), await async_bokeh_session(bokeh_server(app))):
            opened.append(session)
            await session.click("button")
            await session.expect("text").to_have(text="1")

    class TestInAClass:
        {mark}
        @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado", "aiohttp"])
        async def test_fails(self, async_bokeh_app):
            opened.append(await async_bokeh_app(app))
            raise LookupError("on purpose")

    def test_closed():
        assert len(opened) == 5
        assert not any(session.connected for session in opened)

    def test_is_not_asynchronous(async_bokeh_app):
        pass
"""


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ()),
        ("", ("-o", "asyncio_mode=auto")),
        ("@pytest.mark.anyio", ("-p", "no:asyncio")),
        ("@pytest.mark.anyio", ()),
    ],
    ids=["asyncio", "asyncio in auto mode", "anyio", "anyio beside asyncio"],
)
def test_asynchronous_tests_are_closed_on_their_loop(
    project: pytest.Pytester, mark: str, options: tuple[str, ...]
) -> None:
    project.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    if "no:asyncio" in options:
        project.makeini(SETTINGS.replace("asyncio_default_fixture_loop_scope = function\n", ""))
    result = run(project, ASYNC_TEST.format(mark=mark), *options, passed=2, failed=3, errors=1)
    result.stdout.fnmatch_lines(["*test_is_not_asynchronous is no asynchronous test; use bokeh_app*"])


ASYNC_FIXTURE = """
    import pytest
    from counter import app

    opened = []
    texts = []

    {fixture}
    async def page(async_bokeh_app, async_bokeh_session, bokeh_server):
        page = await async_bokeh_app(app)
        opened.extend([page, await async_bokeh_session(bokeh_server(app))])
        yield page
        await page.click("button")
        texts.append(page.find("text").text)

    {mark}
    @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado", "aiohttp"])
    async def test_passes(page):
        await page.click("button")

    {mark}
    async def test_fails(page):
        raise LookupError("on purpose")

    def test_closed():
        assert texts == ["2", "2", "2", "1"]
        assert len(opened) == 8
        assert not any(session.connected for session in opened)
"""
ON_MODULE_LOOP = "(loop_scope='module')"


@pytest.mark.parametrize(
    ("mark", "fixture", "options"),
    [
        ("@pytest.mark.asyncio", "@pytest_asyncio.fixture", ()),
        ("", "@pytest.fixture", ("-o", "asyncio_mode=auto")),
        (f"@pytest.mark.asyncio{ON_MODULE_LOOP}", f"@pytest_asyncio.fixture{ON_MODULE_LOOP}", ()),
        (
            "@pytest.mark.asyncio",
            "@pytest_asyncio.fixture(loop_scope='session')",
            ("-o", "asyncio_default_test_loop_scope=session"),
        ),
        ("@pytest.mark.anyio", "@pytest.fixture", ("-p", "no:asyncio")),
        ("@pytest.mark.anyio", "@pytest.fixture", ()),
    ],
    ids=[
        "asyncio",
        "asyncio in auto mode",
        "loop of the module",
        "loop of the session",
        "anyio",
        "anyio beside asyncio",
    ],
)
def test_an_asynchronous_fixture_uses_its_page_to_its_own_end(
    project: pytest.Pytester, mark: str, fixture: str, options: tuple[str, ...]
) -> None:
    project.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    if "no:asyncio" in options:
        project.makeini(SETTINGS.replace("asyncio_default_fixture_loop_scope = function\n", ""))
    test = ASYNC_FIXTURE.format(mark=mark, fixture=fixture)
    if "pytest_asyncio" in fixture:
        test = test.replace("import pytest\n", "import pytest\n    import pytest_asyncio\n", 1)
    run(project, test, *options, passed=4, failed=1)


def test_another_plugin_may_run_asynchronous_tests(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import asyncio
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            names = pyfuncitem._fixtureinfo.argnames
            result = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
            if asyncio.iscoroutine(result):
                asyncio.run(result)
            return True
        """
    )
    project.makeini(SETTINGS.replace("asyncio_default_fixture_loop_scope = function\n", ""))
    run(
        project,
        """
        from counter import app

        opened = []

        async def test_counts(async_bokeh_app):
            opened.append(await async_bokeh_app(app))
            await opened[0].click("button")
            assert opened[0].find("text").text == "1"

        def test_closed():
            assert not opened[0].connected
        """,
        "-p",
        "no:asyncio",
        "-p",
        "no:anyio",
        passed=2,
    )


def test_a_failing_test_shows_messages_and_the_servers_log(project: pytest.Pytester) -> None:
    test = """
        import pytest
        from bokeh.models import Button

        def app(document):
            button = Button(label="boom", name="boom")
            button.on_click(lambda: 1 / 0)
            document.add_root(button)

        @pytest.mark.bokeh_transport("in-process", "tornado")
        def test_fails(bokeh_app):
            bokeh_app(app).click(label="boom")

        def test_passes(bokeh_app):
            bokeh_app(app)
    """
    test = test.replace('click(label="boom")', 'click("boom")')
    for options in ((), ("-n", "2")):
        result = run(
            project, test, "-W", "ignore::pytest.PytestUnraisableExceptionWarning", *options, failed=2, passed=1
        )
        for section in ("[[]in-process[]]", "[[]tornado[]]"):
            result.stdout.fnmatch_lines(
                [
                    f"*test_fails{section}*",
                    "*PatchRejected*",
                    "*Bokeh messages of session *",
                    "* <- ACK *",
                    "* -> PATCH-DOC *",
                    "*bokeh_event*button_click*",
                    "* <- ERROR * to *",
                    "*Bokeh server log*",
                    "*ZeroDivisionError*",
                ]
            )


def test_tests_may_be_spread_over_processes(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import pytest
        from counter import app

        @pytest.mark.parametrize("turn", range(3))
        @pytest.mark.parametrize("bokeh_transport", ["in-process", "tornado", "aiohttp"])
        def test_counts(bokeh_app, bokeh_server, bokeh_session, turn):
            for session in (bokeh_app(app), bokeh_session(bokeh_server(app, shared=True))):
                session.click("button")
                session.expect("text").to_have(text="1")
        """,
        "-n",
        "2",
        passed=9,
    )


def test_the_patience_of_sessions_is_set_for_the_run(project: pytest.Pytester) -> None:
    test = """
        from counter import app

        def test_patience(bokeh_app):
            assert bokeh_app(app).patience == {expected}
            assert bokeh_app(app, patience=3).patience == 3
    """
    run(project, test.format(expected=10), passed=1)
    run(project, test.format(expected=7.5), "--bokeh-patience=7.5", passed=1)
    project.makeini(SETTINGS + "bokeh_patience = 12\n")
    run(project, test.format(expected=12), passed=1)
    result = run(project, test.format(expected=12), "-o", "bokeh_patience=long", errors=1)
    result.stdout.fnmatch_lines(["*bokeh_patience must be a number of seconds*"])


def test_the_plugin_imports_no_bokeh_before_it_is_used(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import sys

        def test_nothing():
            assert "bokehwire.testing.plugin" in sys.modules
            assert not {"bokeh", "tornado", "aiohttp", "bokehwire.session"} & set(sys.modules)
        """,
        passed=1,
    )


def test_pytest_is_no_dependency() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert not [line for line in project["dependencies"] if line.startswith("pytest")]
