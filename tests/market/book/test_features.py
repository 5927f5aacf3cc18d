import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.market.book import BookColumns, BookProblem, BookSettings, features, problems
from novapulse.market.tape import read_tape

NAN = float("nan")


def books(*rows: tuple[list[float], list[float], list[float], list[float]]) -> BookColumns:
    depth = max(len(side) for row in rows for side in row)
    padded = [[side + [NAN] * (depth - len(side)) for side in row] for row in rows]
    top = [np.array([row[column] for row in padded]) for column in range(4)]
    return BookColumns(np.arange(len(rows)), top[0], top[1], top[2], top[3], problems(*top))


def test_a_book_that_can_be_reckoned_by_hand() -> None:
    (row,) = features(
        books(([99.0, 98.0], [3.0, 1.0], [101.0, 102.0], [1.0, 1.0])),
        BookSettings(reach_bps=150.0, decay_bps=100.0, order_notional=150.0),
    )
    assert row["mid"] == 100.0
    assert row["spread_bps"] == pytest.approx(200.0)
    assert row["microprice"] == pytest.approx((101 * 3 + 99 * 1) / 4)
    near_bid, near_ask = 3 * math.exp(-1) + math.exp(-2), math.exp(-1) + math.exp(-2)
    assert row["imbalance"] == pytest.approx((near_bid - near_ask) / (near_bid + near_ask))
    assert (row["bid_vwap"], row["ask_vwap"], row["depth_ratio"]) == (99.0, 101.0, 0.75)
    assert (row["bid_depth"], row["ask_depth"]) == (297.0, 101.0)
    # 101 of quote buy one unit, the other 49 buy 49/102 at the next level.
    assert row["buy_slippage_bps"] == pytest.approx((150 / (1 + 49 / 102) / 100 - 1) * 1e4)
    assert row["sell_slippage_bps"] == pytest.approx(100.0)
    assert row["pressure"] == 0.0


def test_a_book_that_is_too_thin_for_the_order_says_so() -> None:
    (row,) = features(books(([99.0], [1.0], [101.0], [10.0])), BookSettings(order_notional=500.0))
    assert math.isnan(row["sell_slippage_bps"])
    assert row["buy_slippage_bps"] == pytest.approx(100.0)


def test_a_mirrored_book_says_the_opposite() -> None:
    book = ([99.0, 98.0, 97.0], [5.0, 1.0, 40.0], [101.0, 102.0, 103.0], [1.0, 2.0, 1.0])
    mirrored = ([99.0, 98.0, 97.0], [1.0, 2.0, 1.0], [101.0, 102.0, 103.0], [5.0, 1.0, 40.0])
    chosen = BookSettings(reach_bps=500.0, decay_bps=200.0, whale_multiple=5.0)
    (one,), (other,) = features(books(book), chosen), features(books(mirrored), chosen)
    assert (one["bid_whales"], one["ask_whales"], one["whale_balance"]) == (1.0, 0.0, 1.0)
    assert one["imbalance"] == pytest.approx(-other["imbalance"])
    assert one["depth_ratio"] == pytest.approx(1 - other["depth_ratio"])
    assert one["whale_balance"] == -other["whale_balance"]
    assert one["score"] == pytest.approx(-other["score"], rel=1e-4)
    assert one["score"] > 0.2


def test_order_flow_is_that_of_cont_kukanov_and_stoikov() -> None:
    rows = features(
        books(
            ([99.0], [2.0], [101.0], [2.0]),
            ([99.0], [5.0], [101.0], [2.0]),  # 3 were added to the bid
            ([100.0], [1.0], [101.0], [2.0]),  # a better bid of 1
            ([100.0], [1.0], [102.0], [4.0]),  # the ask of 2 is gone
        ),
        BookSettings(window=10),
    )
    usual = [2.0, 3.5, 1.5, 2.5]
    flows = [0.0, 3.0, 1.0, 2.0]
    for row in range(4):
        assert rows[row]["pressure"] == pytest.approx(sum(flows[: row + 1]) / np.mean(usual[: row + 1]))


def test_a_whale_that_leaves_untouched_is_suspect_and_one_that_was_reached_is_not() -> None:
    calm, wall = [1.0] * 5, [1.0, 1.0, 50.0, 1.0, 1.0]
    bids, asks = [99.0, 98.0, 97.0, 96.0, 95.0], [101.0, 102.0, 103.0, 104.0, 105.0]
    pulled = features(books((bids, wall, asks, calm), (bids, calm, asks, calm)))
    assert pulled["spoofing"].tolist() == [0.0, 1.0]
    fell = ([96.0, 95.0, 94.0, 93.0, 92.0], calm, [97.0, 98.0, 99.0, 100.0, 101.0], calm)
    assert features(books((bids, wall, asks, calm), fell))["spoofing"].tolist() == [0.0, 0.0]
    stays = features(books((bids, wall, asks, calm), (bids, wall, asks, calm)))
    assert stays["spoofing"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("per_second", [1, 10])
def test_a_wall_that_is_pulled_counts_once_however_often_it_was_seen(per_second: int) -> None:
    """Fifty units stood for four seconds and were pulled, while ten others still stand on the other side."""
    calm, wall, asks_qty = [1.0] * 5, [1.0, 1.0, 50.0, 1.0, 1.0], [1.0, 1.0, 1.0, 10.0, 1.0]
    bids, asks = [99.0, 98.0, 97.0, 96.0, 95.0], [101.0, 102.0, 103.0, 104.0, 105.0]
    standing, pulled = (bids, wall, asks, asks_qty), (bids, calm, asks, asks_qty)
    tape = [standing] * (4 * per_second) + [pulled] * per_second
    found = features(books(*tape), BookSettings(window=10 * per_second))["spoofing"]
    assert found[: 4 * per_second].tolist() == [0.0] * (4 * per_second)
    assert found[4 * per_second :].tolist() == [pytest.approx(49 / (49 + 10))] * per_second


def test_a_wall_that_was_reached_speaks_for_the_other_that_was_pulled() -> None:
    calm, wall = [1.0] * 5, [1.0, 1.0, 50.0, 1.0, 1.0]
    bids, asks = [99.0, 98.0, 97.0, 96.0, 95.0], [101.0, 102.0, 103.0, 104.0, 105.0]
    fell = ([96.0, 95.0, 94.0, 93.0, 92.0], calm, [97.0, 98.0, 99.0, 100.0, 101.0], calm)
    wall_of_it = (fell[0], wall, fell[2], calm)
    found = features(books((bids, wall, asks, calm), fell, wall_of_it, fell))["spoofing"]
    assert found.tolist() == [0.0, 0.0, 0.0, pytest.approx(49 / (49 + 50))]


def test_liquidity_is_half_at_either_reference_and_all_of_it_only_beyond_both() -> None:
    def liquidity(depth: float, spread_bps: float) -> float:
        half = 100.0 * spread_bps / 2e4
        bid, ask = 100.0 - half, 100.0 + half
        (row,) = features(
            books(([bid], [depth / bid], [ask], [depth / ask])),
            BookSettings(depth_reference=1e5, spread_reference_bps=2.0),
        )
        return float(row["liquidity"])

    assert liquidity(1e5, 1e-6) == pytest.approx(0.5, abs=1e-6)
    assert liquidity(1e12, 2.0) == pytest.approx(0.5, abs=1e-6)
    assert liquidity(1e5, 2.0) == pytest.approx(0.25)
    assert liquidity(1e12, 1e-6) == pytest.approx(1.0, abs=1e-5)


def test_a_hole_in_the_book_is_found_where_it_begins() -> None:
    (row,) = features(
        books(([99.0, 98.0, 97.0, 60.0, 59.0], [1.0] * 5, [101.0, 102.0, 103.0, 104.0, 105.0], [1.0] * 5))
    )
    assert row["bid_void_bps"] == pytest.approx(300.0)
    assert math.isnan(row["ask_void_bps"])


def test_a_refused_book_is_not_measured_and_ends_what_is_remembered() -> None:
    good = ([99.0], [2.0], [101.0], [2.0])
    crossed = ([102.0], [2.0], [101.0], [2.0])
    table = books(good, crossed, ([99.0], [9.0], [101.0], [2.0]))
    assert table.problem.tolist() == [0, BookProblem.CROSSED, 0]
    rows = features(table)
    assert all(math.isnan(rows[1][name]) for name in rows.dtype.names or ())
    assert rows[2]["pressure"] == 0.0


sides = st.lists(st.floats(0.1, 50.0), min_size=1, max_size=6)


@given(data=st.lists(st.tuples(sides, sides, st.integers(-3, 3)), min_size=2, max_size=20), window=st.integers(1, 5))
def test_a_row_follows_from_its_window_alone_and_bounded_figures_stay_in_their_bounds(
    data: list[tuple[list[float], list[float], int]], window: int
) -> None:
    rows = []
    for bid_qty, ask_qty, shift in data:
        bids = [100.0 + shift - level for level in range(len(bid_qty))]
        asks = [101.0 + shift + level for level in range(len(ask_qty))]
        rows.append((bids, bid_qty, asks, ask_qty))
    chosen = BookSettings(window=window, whale_multiple=2.0)
    columns = books(*rows)
    whole = features(columns, chosen)
    cut = len(rows) // 2
    first = max(0, cut - window)
    alone = features(columns.rows(first, len(rows)), chosen)
    assert whole[cut:].tobytes() == alone[cut - first :].tobytes()
    for name, least, most in (("imbalance", -1, 1), ("score", -1, 1), ("spoofing", 0, 1), ("liquidity", 0, 1)):
        assert (whole[name] >= least).all(), name
        assert (whole[name] <= most).all(), name


def test_a_recorded_tape_is_the_book_that_the_exchange_showed(shared_data: Path) -> None:
    tape = read_tape(shared_data / "binance_BTC-USDT_l2.parquet", levels=20, every_ms=1000)
    quotes = pl.read_parquet(shared_data / "binance_BTC-USDT_bbo.parquet").select("update_id", "bid", "ask")
    assert tape.gaps == 0
    assert set(tape.books.problem.tolist()) == {BookProblem.NONE}
    shown = {(bid, ask) for _, bid, ask in quotes.iter_rows()}
    built = list(zip(tape.books.bid_price[:, 0].tolist(), tape.books.ask_price[:, 0].tolist(), strict=True))
    assert len(built) > 600
    # The two streams are cut independently: at the edge of the recording a quote may be missing.
    assert sum(pair in shown for pair in built) >= len(built) - 1
    measured = features(tape.books)
    # An imbalance that says something: it goes with the move of the mid over the next second.
    moves = np.diff(measured["mid"])
    assert np.corrcoef(measured["imbalance"][:-1], moves)[0, 1] > 0.1
