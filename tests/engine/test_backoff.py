from novapulse.engine.backoff import Backoff


def test_waits_grow_to_their_most_and_differ_by_name() -> None:
    waits = Backoff(1.0, 60.0, "a feed")
    said = [waits.next_s() for _ in range(12)]
    assert all(most / 2 <= wait <= most for wait, most in zip(said, [1, 2, 4, 8, 16, 32, *[60] * 6], strict=True))
    assert [Backoff(1.0, 60.0, "a feed").next_s(), Backoff(1.0, 60.0, "another").next_s()] != [said[0]] * 2
    waits.succeeded()
    assert waits.next_s() == said[0]
