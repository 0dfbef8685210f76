"""How long the event loop's own thread is left alone: hardly after a hold-up by itself, for long on a slow disk."""

import pytest

from meterd_server.store.sqlite.slowness import PAUSE_SECONDS_MAX, Slowness

MAX = 0.01


class _Disk:
    """Steps on the event loop's thread, by a clock that only this moves: it goes on with the next one as soon as that may be."""

    def __init__(self, clock):
        self.clock = clock
        self._slowness = Slowness(MAX, clock)

    def step(self, seconds):
        """Do what takes so long, and return how long the pause after it was, in seconds."""
        assert not self._slowness.lasts()
        began = self._slowness.clock()
        self.clock.go_on(seconds)
        self._slowness.note(began)
        ended = self.clock()
        while self._slowness.lasts():
            self.clock.go_on(0.001)
        return pytest.approx(self.clock() - ended, abs=0.002)


@pytest.fixture
def disk(clock):
    """Return a disk that is as slow as a test says."""
    return _Disk(clock)


def test_what_is_quick_is_no_hold_up(disk):
    """Nothing pauses after steps that take as long as they may."""
    assert [0, 0, 0] == [disk.step(seconds) for seconds in (0.0001, MAX - 0.0001, 0.0001)]


def test_a_hold_up_by_itself_costs_little(disk):
    """A machine that is busy elsewhere now and then does not send everything to the other thread."""
    for _ in range(3):
        assert 0.06 == disk.step(0.015)
        disk.clock.go_on(0.2)
        assert 0 == disk.step(0.001)


def test_a_slow_disk_is_left_alone(disk):
    """Pauses grow while each step is held up again, to a limit; the thread is held up for a small part of the time."""
    began, pauses = disk.clock(), [disk.step(0.02) for _ in range(8)]
    assert [0.08, 0.16, 0.32, *[PAUSE_SECONDS_MAX] * 5] == pauses
    assert 8 * 0.02 < (disk.clock() - began) / 15


def test_soon_after_is_again(disk):
    """Quick steps in between do not make a disk quick that is slow time and again; a longer while does."""
    assert 0.08 == disk.step(0.02)
    disk.clock.go_on(0.1)
    assert 0 == disk.step(0.001)
    assert 0.16 == disk.step(0.02)
    disk.clock.go_on(0.4)
    assert 0.08 == disk.step(0.02)


def test_a_long_hold_up_pauses_for_long(disk):
    """The first pause is as long as it may be when the hold-up was."""
    assert PAUSE_SECONDS_MAX == disk.step(0.3)
