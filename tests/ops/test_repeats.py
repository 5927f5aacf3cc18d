"""A failure that repeats is one whole telling, then a line with a count now and then."""

from novapulse.ops.repeats import EVERY_S, Repeats


def test_the_first_is_told_whole_and_the_others_are_counted() -> None:
    now = [0.0]
    repeats = Repeats(lambda: now[0])
    told = []
    for _ in range(3000):
        told.append(repeats.take("the disk is full"))
        now[0] += EVERY_S / 1000
    assert told[0] == 0
    lines = [count for count in told[1:] if count is not None]
    assert len(lines) == 2
    assert all(990 <= count <= 1010 for count in lines)


def test_another_failure_is_told_whole_at_once() -> None:
    repeats = Repeats(lambda: 5.0)
    assert [repeats.take(text) for text in ("a", "a", "b", "b", "a")] == [0, None, 0, None, 0]
