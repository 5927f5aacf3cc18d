"""States as the dashboards send them, for tests and for looking at."""

from typing import Any

import numpy as np

from novapulse.core.bars import MINUTE_NS, BarColumns

NOW_NS = 1_774_267_800_000_000_000

TILES: dict[str, Any] = {
    "tiles": [
        {
            "label": "Equity",
            "value": "100018.42",
            "digits": 2,
            "unit": "USD",
            "note": "3 accounts, paper",
            "href": "/a",
        },
        {
            "label": "Day P&L",
            "value": "-17.6",
            "signed": True,
            "digits": 2,
            "delta": "-0.018",
            "delta_unit": " %",
            "note": "since 00:00 UTC",
        },
        {"label": "Exposure", "value": "24.9", "unit": "%", "note": "limit 40 %", "level": "ok"},
        {"label": "Drawdown", "value": "1.62", "unit": "%", "note": "halts at 2 %", "level": "near"},
        {"label": "Open orders", "value": 3, "note": "1 stop, 2 limit", "href": "/orders"},
        {"label": "Feed age", "value": None, "note": "nothing heard yet", "level": "over"},
    ]
}
METERS: dict[str, Any] = {
    "meters": [
        {
            "name": "Gross exposure",
            "used": "24.9",
            "limit": "40",
            "unit": "%",
            "level": "ok",
            "explanation": "15.1 % may still be added",
        },
        {
            "name": "Daily loss",
            "used": "1.72",
            "limit": "2",
            "unit": "%",
            "level": "near",
            "explanation": "0.28 % more halts new entries until 00:00 UTC",
        },
        {
            "name": "Orders per minute",
            "used": "61",
            "limit": "60",
            "unit": "",
            "level": "over",
            "explanation": "new orders are refused",
        },
        {
            "name": "Open positions",
            "used": None,
            "limit": "8",
            "unit": "",
            "level": "ok",
            "explanation": "the account has not answered",
        },
    ]
}
STRIP: dict[str, Any] = {
    "trader": {"running": True, "healthy": True, "reasons": [], "heartbeat_age_s": 0.4, "bars": "recorded bars"},
    "accounts": [
        {
            "exchange": "coinbase",
            "account_id": "main",
            "money": "paper",
            "mode": "normal",
            "healthy": True,
            "reasons": [],
            "last_bar_age_s": 0.3,
        },
        {
            "exchange": "kraken",
            "account_id": "main",
            "money": "live",
            "mode": "REDUCE_ONLY",
            "healthy": False,
            "reasons": ["the venue has not answered for 42 s"],
            "last_bar_age_s": 61.0,
            "href": "/accounts/kraken/main",
        },
        {
            "exchange": "kraken",
            "account_id": "second",
            "money": "paper",
            "mode": "normal",
            "healthy": None,
            "reasons": [],
            "last_bar_age_s": None,
        },
    ],
    "ledger_id": "08c3d4cb-df27-4688-98c1-34dce34ee430",
    "ledger_place": "ledger.db",
}
POSITIONS: dict[str, Any] = {
    "positions": [
        {
            "exchange": "kraken",
            "account_id": "main",
            "symbol": "BTC-USD",
            "direction": 1,
            "qty": "0.1873",
            "entry_price": "64250.1",
            "mark_price": "65120.0",
            "unrealized_pnl": "162.93",
            "unrealized_r": 0.7,
            "stop_price": "63010.0",
            "target_price": "67400",
            "opened_ns": NOW_NS,
            "lead_strategy": "keltner",
            "quote": "USD",
            "href": "/positions/1",
        },
        {
            "exchange": "coinbase",
            "account_id": "main",
            "symbol": "ETH-USD",
            "direction": -1,
            "qty": "3.2",
            "entry_price": "3120.5",
            "mark_price": "3144.0",
            "unrealized_pnl": "-75.20",
            "unrealized_r": -0.41,
            "stop_price": None,
            "stop_missing_reason": "the venue refused the stop: price too near",
            "target_price": None,
            "opened_ns": NOW_NS,
            "lead_strategy": "donchian",
            "quote": "USD",
        },
        {
            "exchange": "kraken",
            "account_id": "second",
            "symbol": "SOL-USD",
            "direction": 1,
            "qty": "12.5",
            "entry_price": "142.115",
            "mark_price": None,
            "unrealized_pnl": None,
            "unrealized_r": None,
            "stop_price": "139.02",
            "target_price": "149.9",
            "quote": "USD",
        },
    ]
}


def order(number: int, **changed: Any) -> dict[str, Any]:
    made = {
        "client_order_id": f"np-{number:04d}",
        "symbol": "BTC-USD",
        "side": "BUY" if number % 2 else "SELL",
        "role": "ENTRY",
        "status": "ACCEPTED",
        "qty": "0.1873",
        "filled_qty": "0",
        "limit_price": f"{64000 + number}.5",
        "stop_price": None,
        "avg_fill_price": None,
        "decided_ns": NOW_NS + number * 60_000_000_000,
        "why": "consensus 11.2 over 8.0 in an uptrend; sized by risk 0.5 %",
        "href": f"/orders/np-{number:04d}",
    }
    return {**made, **changed}


ORDERS = [
    order(1),
    order(
        2, symbol="ETH-USD", role="STOP", stop_price="3201.25", limit_price=None, why="protects 3.2 short, 2.6 % away"
    ),
    order(3, status="UNKNOWN", why="no answer to the submission for 12 s; asking the venue"),
    *[order(number) for number in range(4, 9)],
]

BOOK: dict[str, Any] = {
    "symbol": "BTC-USD",
    "asks": [[f"{64251 + 0.5 * n:.1f}", f"{0.2 + (n * 7 % 5) * 0.31:.3f}"] for n in range(12)],
    "bids": [[f"{64250.5 - 0.5 * n:.1f}", f"{0.4 + (n * 5 % 7) * 0.37:.3f}"] for n in range(12)],
}


def bars(count: int = 400, seed: int = 4) -> BarColumns:
    """A made market of minutes that ends at `NOW_NS`."""
    chance = np.random.default_rng(seed)
    close = np.round(64_000 * np.exp(np.cumsum(chance.normal(0, 0.0008, count))), 1)
    open_ = np.concatenate([[64_000.0], close[:-1]])
    high = np.round(np.maximum(open_, close) + np.abs(chance.normal(0, 18, count)), 1)
    low = np.round(np.minimum(open_, close) - np.abs(chance.normal(0, 18, count)), 1)
    closes_ns = NOW_NS - MINUTE_NS * np.arange(count)[::-1]
    volume = np.round(chance.gamma(2, 3, count), 4)
    return BarColumns.checked(closes_ns, open_, high, low, close, volume, timeframe_ns=MINUTE_NS)


def equity(count: int = 500) -> list[tuple[int, str]]:
    """Points of a made account, a minute apart."""
    values = 100_000 + np.cumsum(np.random.default_rng(8).normal(3, 60, count))
    return [(NOW_NS + n * MINUTE_NS, f"{value:.2f}") for n, value in enumerate(values)]
