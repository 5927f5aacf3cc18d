"""Open lots: first in, first out, to the last unit, over busts and through the other side."""

from novapulse.core.instruments import InstrumentKey
from novapulse.core.orders import Filled, Side
from novapulse.ledger.lots import Lot, open_lots
from novapulse.ledger.queries import Execution

BTC = InstrumentKey("kraken", "BTC/USD")
ETH = InstrumentKey("kraken", "ETH/USD")


def traded(seq: int, units: int, price: int, key: InstrumentKey = BTC, name: str = "") -> Execution:
    side = Side.BUY if units > 0 else Side.SELL
    trade = name or f"t{seq}"
    fill = Filled("o", "v", trade, key, side, abs(units), price, abs(units) * price, 0, 0, seq)
    return Execution(seq, seq, fill, key, "o", trade, units, -units * price, 0)


def busted(seq: int, name: str) -> Execution:
    return Execution(seq, seq, None, BTC, "o", name, 0, 0, 0)


def rest(lots: tuple[Lot, ...]) -> list[tuple[int, int, int]]:
    return [(lot.seq, lot.units, lot.cash_units) for lot in lots]


def test_what_came_first_goes_first_and_keeps_its_price():
    lots = open_lots([traded(1, 10, 100), traded(2, 5, 200), traded(3, -12, 300)])
    assert rest(lots) == [(2, 3, 600)]
    assert lots[0].opened_units == 5


def test_selling_more_than_there_is_opens_a_lot_on_the_other_side():
    assert rest(open_lots([traded(1, 4, 100), traded(2, -10, 50)])) == [(2, -6, -300)]


def test_an_execution_that_was_taken_back_never_was():
    assert rest(open_lots([traded(1, 4, 100), traded(2, -4, 50), busted(3, "t2")])) == [(1, 4, 400)]


def test_instruments_do_not_mix_and_sums_are_those_of_the_executions():
    executions = [traded(1, 7, 3), traded(2, -2, 5, ETH), traded(3, -3, 4), traded(4, 9, 2, ETH), traded(5, 1, 6)]
    lots = open_lots(executions)
    for key, total in ((BTC, 5), (ETH, 7)):
        assert sum(lot.units for lot in lots if lot.instrument == key) == total
    assert [lot.seq for lot in lots] == sorted(lot.seq for lot in lots)


def test_a_flat_account_has_none():
    assert open_lots([traded(1, 3, 1), traded(2, -3, 1)]) == ()
