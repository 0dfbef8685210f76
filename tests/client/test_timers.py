"""The blocking client's timers: called when due, in order of their time, and never after they were cancelled."""

import os
import threading

import pytest

from meterd._timers import _CANCELLED_MAX, Timers

WAIT_SECONDS = 30
NEVER_SECONDS = 1e9


@pytest.fixture
def timers():
    """Make timers, and end their thread."""
    timers = Timers()
    yield timers
    timers.close()


def test_a_timer_goes_off(timers):
    """What is due is called, in a thread of its own, also behind one that is not."""
    called = threading.Event()
    timers.later(NEVER_SECONDS, called.clear)
    timers.later(0.0, lambda: called.set() if threading.current_thread().daemon else None)
    assert called.wait(WAIT_SECONDS)


def test_a_cancelled_timer_does_not_go_off(timers):
    """Another one, due later, does."""
    called = []
    done = threading.Event()
    with timers._changed:  # the thread sees it all at once
        first = timers.later(0.0, lambda: called.append("first"))
        timers.later(0.0, done.set)
        first.cancel()
        first.cancel()
    assert done.wait(WAIT_SECONDS)
    assert [] == called


def test_a_callback_that_takes_long_holds_up_nobody(timers):
    """Each has a thread of its own."""
    release, done = threading.Event(), threading.Event()
    timers.later(0.0, lambda: release.wait(WAIT_SECONDS))
    timers.later(0.01, done.set)
    assert done.wait(WAIT_SECONDS)
    release.set()


def test_cancelled_timers_are_forgotten(timers):
    """Holds that end early do not pile up until their timers would be due."""
    kept = timers.later(NEVER_SECONDS, print)
    for _ in range(10 * _CANCELLED_MAX):
        timers.later(NEVER_SECONDS, print).cancel()
    assert len(timers._heap) <= _CANCELLED_MAX + 2
    assert kept in timers._heap


def test_after_the_close_nothing_goes_off(timers):
    """The thread ends, and a timer started afterwards is none."""
    timers.later(NEVER_SECONDS, print)
    thread = timers._thread
    timers.close()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    timers.later(0.0, print).cancel()
    assert [] == timers._heap


def test_a_forked_child_has_timers_of_its_own(timers, monkeypatch):
    """The parent's thread is not there, and its timers are the parent's to keep."""
    parents = timers.later(NEVER_SECONDS, print)
    parents_thread = timers._thread
    monkeypatch.setattr(os, "getpid", lambda: -1)
    parents.cancel()
    done = threading.Event()
    timers.later(0.0, done.set)
    assert done.wait(WAIT_SECONDS)
    assert timers._thread is not parents_thread
