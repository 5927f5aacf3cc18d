import numpy as np

from novapulse.core.bars import MINUTE_NS
from novapulse.market.facts import decimal_digits
from novapulse.market.sample import START_NS, sample_market


def test_the_same_seed_gives_the_same_market_and_leaves_global_chance_alone() -> None:
    before = np.random.get_state()[1].tolist()
    first = sample_market(["BTC/USD", "ETH/USD"], 500, 3)
    again = sample_market(["ETH/USD"], 500, 3)
    assert (first["ETH/USD"].close == again["ETH/USD"].close).all()
    assert (first["ETH/USD"].close != sample_market(["ETH/USD"], 500, 4)["ETH/USD"].close).any()
    assert np.random.get_state()[1].tolist() == before


def test_markets_are_correlated_on_ticks_with_volume_behind_moves() -> None:
    market = sample_market(["BTC/USD", "ETH/USD"], 20_000, 11)
    moves = [np.diff(np.log(bars.close)) for bars in market.values()]
    assert 0.4 < np.corrcoef(*moves)[0, 1] < 0.9
    for bars, move in zip(market.values(), moves, strict=True):
        assert bars.ts_close_ns[0] == START_NS + MINUTE_NS
        assert max(decimal_digits(column) for column in (bars.open, bars.high, bars.low, bars.close)) <= 6
        assert np.corrcoef(np.abs(move), bars.volume[1:])[0, 1] > 0.2
        hourly = np.add.reduceat(move, np.arange(0, move.size, 60))
        spread = [np.abs(hourly[k : k + 10]).mean() for k in range(0, hourly.size - 10, 10)]
        assert max(spread) > 3 * min(spread)


def test_an_empty_market_is_empty() -> None:
    assert len(sample_market(["A"], 0, 0)["A"]) == 0
