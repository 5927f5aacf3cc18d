"""What a reader takes from the trader's state is what the trader has, to the bit."""

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import Kept, check_seal, sealed
from novapulse.engine import memory
from tests.engine.harness import SECOND_NS, noisy_ticks, trader_of, world_of


def state_and_desk():
    trader = trader_of(["BTC/USD", "ETH/USD"])
    ticks = noisy_ticks(["BTC/USD", "ETH/USD"], bars=60)
    world, node, journal = world_of(trader)
    world.start(node)
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]) + 90 * SECOND_NS)
    return next(commit.state for _, commit in reversed(journal.commits) if commit.state), trader.desk


def test_a_reader_sees_the_records_of_the_trader():
    state, desk = state_and_desk()
    kept, books = Kept.of(state), desk.books
    assert kept.instruments == tuple(one.key for one in desk.instruments)
    assert kept.account.tobytes() == books.account.tobytes()
    assert kept.key == desk.key
    assert kept.holds == desk.holds
    for name in ("positions", "orders", "last_bars", "foreign_units"):
        assert getattr(kept, name).tobytes() == getattr(books, name).tobytes(), name
    assert any(run is not None for run in kept.runs)
    for found, run in zip(kept.runs, desk.runs, strict=True):
        assert (found is None) == (run is None)
        if found is not None:
            assert (found.reason, found.first_ns, found.last_ns, found.bars) == (
                run.reason,
                run.first_ns,
                run.last_ns,
                run.bars,
            )


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_state_is_refused(damage):
    state, _ = state_and_desk()
    bad = {
        "cut": state[:-1],
        "flipped": state[:-1] + bytes([state[-1] ^ 1]),
        "foreign": b"SQLite " + state,
        "empty": b"",
    }
    with pytest.raises(ValueError, match=r"it (begins|has)|checksum"):
        Kept.of(bad[damage])


@pytest.mark.parametrize("version", [1, 3])
def test_a_state_of_another_version_is_refused_by_reader_and_trader_and_named(version):
    state, desk = state_and_desk()
    other = state.replace(b'"version":2,', f'"version":{version},'.encode())
    assert other != state
    for read in (Kept.of, lambda bad: memory.unpack(desk, bad)):
        with pytest.raises(ValueError, match=rf"of version {version}, and this NovaPulse reads version 2"):
            read(other)


KEY, CLOSE_NS, SEQ = AccountKey("kraken", "main"), 60, 7


def test_every_bit_of_a_sealed_state_counts_and_so_does_its_row():
    state, desk = state_and_desk()
    lying = sealed(state, KEY, CLOSE_NS, SEQ)
    check_seal(lying, KEY, CLOSE_NS, SEQ)
    with pytest.raises(ValueError, match="seal is broken"):
        check_seal(state, KEY, CLOSE_NS, SEQ)
    for other in ((AccountKey("krakenmain", ""), CLOSE_NS, SEQ), (KEY, CLOSE_NS + 1, SEQ), (KEY, CLOSE_NS, SEQ + 1)):
        with pytest.raises(ValueError, match="seal is broken"):
            check_seal(lying, *other)
    for at in (*range(8 * 120), *range(8 * 120, 8 * len(lying), 97)):
        damaged = bytearray(lying)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match=r"it (begins|has|is)|seal"):
            check_seal(bytes(damaged), KEY, CLOSE_NS, SEQ)
    again = trader_of(["BTC/USD", "ETH/USD"])
    memory.unpack(again.desk, lying)
    assert again.desk.books.packed() == desk.books.packed()
