"""no_leaks() sees what it is there to see."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from .leaks import no_leaks


def test_a_thread() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="left-behind")
    with pytest.raises(AssertionError, match="left behind: thread left-behind"), no_leaks(patience=0):
        thread.start()
    with no_leaks():
        stop.set()
        thread.join()


def test_a_thread_that_may_stay() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="portal-1")
    with no_leaks(ignore_threads=["portal"]):
        thread.start()
    stop.set()
    thread.join()


def test_a_thread_that_ends_a_moment_later() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    with no_leaks():
        thread.start()
        threading.Timer(0.05, stop.set).start()


def test_a_descriptor() -> None:
    with pytest.raises(AssertionError, match="left behind: descriptor"), no_leaks(patience=0):
        descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)


def test_a_task_of_the_running_loop() -> None:
    async def scenario() -> None:
        with pytest.raises(AssertionError, match=r"left behind: task .*left-task"):
            async with no_leaks(patience=0):
                task = asyncio.create_task(asyncio.Event().wait(), name="left-task")
        task.cancel()
        async with no_leaks():
            other = asyncio.create_task(asyncio.Event().wait())
            other.cancel()

    asyncio.run(scenario())


def test_a_task_of_another_threads_loop() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Task[bool]:
        return asyncio.create_task(asyncio.Event().wait(), name="left-task")

    with pytest.raises(AssertionError, match=r"left behind: task .*left-task"), no_leaks(loops=[loop], patience=0):
        task = asyncio.run_coroutine_threadsafe(start(), loop).result()
    with no_leaks(loops=[loop]):
        loop.call_soon_threadsafe(task.cancel)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_an_error_in_the_block_is_not_hidden() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)

    def leave_and_fail() -> None:
        thread.start()
        raise LookupError

    with pytest.raises(LookupError), no_leaks(patience=0):
        leave_and_fail()
    stop.set()
    thread.join()
