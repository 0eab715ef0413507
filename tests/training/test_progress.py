"""Promises of what a person sees while an agent learns."""

from __future__ import annotations

import contextlib
import io

import pytest

from rewirl.training import progress
from rewirl.training.evaluation import Evaluation

FOUND = Evaluation(returns=(90.0, 110.0), lengths=(5, 5), seconds=1.0)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)


def test_plain_lines_tell_return_density_speed_and_time_left(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    lines = progress.PlainLines(out)
    lines.begin(0, 100_000)
    clock.now += 10
    lines.step(5000)
    lines.evaluated(5000, FOUND, 0.49)
    # 500 steps/s, and 95,000 steps are left: 190 s
    expected = "step 5,000 of 100,000: return 100.0 +- 10.0, density 0.490, 500 steps/s, 0:03:10 left\n"
    assert out.getvalue() == expected
    assert "\x1b" not in out.getvalue()


def test_a_resumed_run_counts_only_its_own_steps(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    lines = progress.PlainLines(out)
    lines.begin(90_000, 100_000)
    clock.now += 10
    lines.evaluated(95_000, FOUND, 0.49)
    assert "500 steps/s, 0:00:10 left" in out.getvalue()


def test_the_speed_is_that_of_the_last_half_minute(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    lines = progress.PlainLines(out)
    lines.begin(0, 1_000_000)
    for step in range(10_000, 110_000, 10_000):  # 1,000 steps/s at first
        clock.now += 10
        lines.mark(step)
    for step in range(110_000 - 9_000, 110_000, 1_000):  # then 100
        clock.now += 10
        lines.mark(step)
    assert lines.speed() == pytest.approx(100, rel=0.01)


def test_an_evaluation_that_comes_late_does_not_move_the_run_back(monkeypatch):
    clock = Clock(monkeypatch)
    lines = progress.PlainLines(io.StringIO())
    lines.begin(0, 10_000)
    clock.now += 10
    lines.mark(5300)
    lines.evaluated(5000, FOUND, 0.49)
    assert lines.done == 5300 and lines.speed() == 530


def test_the_live_line_moves_and_evaluations_stay(monkeypatch):
    from rich.console import Console

    clock, out = Clock(monkeypatch), io.StringIO()
    live = progress.LiveLine()
    live._console = Console(file=out, force_terminal=True, width=120, highlight=False)
    live.begin(0, 1000)
    clock.now += 1
    live.step(250)
    live.step(251)  # too soon to draw again
    clock.now += 1
    live.evaluated(500, FOUND, 0.49)
    live.end()
    live.end()
    text = out.getvalue()
    assert "25.0%  step 250" in text and "step 251" not in text
    assert "50.0%  step 500  return 100.0  density 0.490  250 steps/s  0:00:02 left" in text
    assert "return      100.0 +- 10.0\n" in text.replace("\r\n", "\n")
    assert text.rstrip().endswith("\x1b[?25h") or text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")


@pytest.mark.parametrize(
    "seconds, words", [(0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (360_000, "100:00:00")]
)
def test_durations(seconds, words):
    assert progress.duration(seconds) == words


def test_no_terminal_no_live_line(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert isinstance(progress.for_this_terminal(), progress.PlainLines)


@pytest.mark.parametrize("of", [progress.PlainLines, progress.LiveLine, progress.Silent])
def test_what_cannot_be_printed_is_left_out(monkeypatch, of):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", full)
        monkeypatch.setattr("sys.stderr", full)
        shown = of()
        shown.begin(0, 100)
        shown.step(1)
        shown.episode(3.0)
        shown.evaluated(1, FOUND, 0.49)
        shown.message("a word " * 2000)
        shown.end()
        with contextlib.suppress(OSError):
            full.close()


def test_the_warm_up_says_how_long_it_takes_and_tells_nothing_of_the_time_left(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    lines = progress.PlainLines(out)
    lines.begin(0, 100_000, 25_000)
    lines.evaluated(0, FOUND, 0.49)
    clock.now += 1
    lines.mark(5_000)
    lines.evaluated(5_000, FOUND, 0.49)
    clock.now += 4
    lines.step(25_000)
    clock.now += 50
    lines.evaluated(30_000, FOUND, 0.49)  # 100 steps/s since updates began, and 70,000 steps are left
    first, second, third = out.getvalue().splitlines()
    assert first.endswith("return 100.0 +- 10.0 untrained, density 0.490, random actions until step 25,000")
    assert second.endswith("5,000 steps/s, random actions until step 25,000")
    assert third == "step 30,000 of 100,000: return 100.0 +- 10.0, density 0.490, 100 steps/s, 0:11:40 left"


def test_plain_lines_say_once_a_minute_that_the_run_lives(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    lines = progress.PlainLines(out)
    lines.begin(0, 100_000)
    for step in range(1, 13):
        clock.now += 10
        lines.episode(-float(step))
        lines.step(step * 100)
    assert out.getvalue().splitlines() == [
        "step 600 of 100,000: training return -3.50, 10 steps/s, 2:45:40 left",
        "step 1,200 of 100,000: training return -7.50, 10 steps/s, 2:44:40 left",  # of the last ten episodes
    ]


def test_what_matters_least_gives_way_on_a_narrow_terminal(monkeypatch):
    clock = Clock(monkeypatch)
    live = progress.LiveLine()
    live.begin(0, 1000, 100)
    assert "random actions until step 100" in live.line(60)
    live.step(100)
    clock.now += 1
    live.evaluated(500, FOUND, 0.49)
    live.episode(90.0)
    live.end()
    everything = live.line(200)
    parts = ["50.0%", "step 500", "0:00:01 left", "return 100.0", "training return 90.0", "░", "steps/s", "density"]
    assert all(part in everything for part in parts)
    seen = [[part for part in parts if part in live.line(width)] for width in range(len(everything), 4, -1)]
    assert all(shown == parts[: len(shown)] for shown in seen)
    assert seen[0] == parts and seen[-1] == ["50.0%"]
    assert all(len(live.line(width)) <= width for width in range(6, 200))


def test_an_evaluation_that_comes_late_shows_no_later_training(monkeypatch):
    clock, out = Clock(monkeypatch), io.StringIO()
    lines = progress.PlainLines(out)
    lines.begin(0, 8_000)
    for step in range(1, 300):
        if step == 200:
            lines.episode(-1125.6)
        clock.now += 0.01
        lines.step(step)
    lines.evaluated(0, FOUND, 0.5)
    lines.evaluated(200, FOUND, 0.5)
    first, second = out.getvalue().splitlines()
    assert "training return" not in first and "training return -1,125.6" in second


def test_a_speed_waits_for_something_to_tell_it_from(monkeypatch):
    clock = Clock(monkeypatch)
    lines = progress.PlainLines(io.StringIO())
    lines.begin(0, 8_000)
    clock.now += 20  # an evaluation before the first step
    lines.step(1)
    clock.now += 0.3
    lines.mark(2)
    assert lines.words() == []
    clock.now += 9.7
    lines.mark(1001)
    assert lines.words() == ["100 steps/s", "0:01:10 left"]
    slow = progress.PlainLines(io.StringIO())
    slow.begin(0, 100)
    clock.now += 30
    slow.mark(3)  # whatever it is after half a minute
    assert slow.speed() == pytest.approx(0.1)
