"""The widgets that show figures in words: tiles, limits, accounts, positions, tables.

Amounts and prices are decimal texts as the ledger has them; the page rounds them as texts. `level` is `ok`, `near`,
`over` or `unknown`. `href` is an address of this site; any other is shown as text.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from novapulse.ui.widgets.assets import asset
from novapulse.ui.widgets.live import Live

Row = Mapping[str, Any]


class Skips(Live):
    """Links for the keyboard to places of the page, seen only while one has the focus.

    Attributes:
        links: Words -> id of the element that gets the focus; it gets the class `np-asked` as well.
    """

    _esm, _css = asset("skips.js"), asset("skips.css")
    framed = traitlets.Bool(False).tag(sync=True)
    stale_s = traitlets.Float(0.0).tag(sync=True)
    links = traitlets.Dict().tag(sync=True)


class Tiles(Live):
    """Key figures.

    State: `tiles`, each with `label`, `value`, and where wanted `unit`, `digits`, `signed` (sign and colour), `delta`,
    `delta_unit`, `note`, `level`, `href`, `key` (the label unless given) and `plain` (an identifier: not read as a
    number).
    """

    _esm, _css = asset("tiles.js"), asset("tiles.css")
    framed = traitlets.Bool(False).tag(sync=True)


class Meters(Live):
    """Limits and how near each one is.

    State: `meters`, each with `name`, `used`, `limit`, `unit`, `level`, `explanation`, and where wanted `digits` and
    `href`.
    """

    _esm, _css = asset("meters.js"), asset("meters.css")


class StatusStrip(Live):
    """The trader and every account on one line.

    State: `trader` (`running`, `healthy`, `reasons`, `heartbeat_age_s`, `bars`: where they are from), `accounts`, each
    with `exchange`, `account_id`, `money` ("paper", "live", or that it is not known), `mode`, `healthy`, `reasons`,
    `last_bar_age_s`, `href`; `ledger_id`, `ledger_place`, and `ledger_named`: the ledger that the page names elsewhere,
    of which the strip says nothing more.

    Attributes:
        session_url: Where to ask, once nothing is heard any more, whether the person is still signed in (401: no);
            empty for nowhere.
    """

    _esm, _css = asset("strip.js"), asset("strip.css")
    framed = traitlets.Bool(False).tag(sync=True)
    session_url = traitlets.Unicode("").tag(sync=True)


class Positions(Live):
    """Open positions: what they make, and where the price stands between stop and target.

    State: `positions`, each with `exchange`, `account_id`, `symbol`, `is_ours`, `direction` (-1, 1 or a word), `qty`,
    `entry_price`, `mark_price`, `mark_ns`, `unrealized_pnl`, `unrealized_r`, `stop_price`, `stop_status`,
    `stop_missing_reason`, `target_price`, `opened_ns`, `lead_strategy`, `base`, `quote`, `href`. A stop with a reason
    why it is missing is not in force, whatever its price.
    """

    _esm, _css = asset("positions.js"), asset("positions.css")


class Rows(Live):
    """A live table with a filter and sorting; 200 rows of it are drawn.

    State: `columns`, `rows` and, where wanted, `key_field` ("key" unless given) and `none` (said of no rows). A column
    has `key`, `label`, `kind` (text, figure, signed, percent of a fraction, time in ns, age in s, side, status),
    `digits`, `wide`, `unit` (the key under which a row names what its figure is counted in), and `none` where a row may
    be without one: everywhere else None is unknown, and says so. A row has the columns' keys, and where wanted `href`,
    `level`, and `hrefs`: where figures of single columns lead, by key.

    Attributes:
        height: Pixels before it scrolls; 0 for as tall as its rows.
    """

    _esm, _css = asset("rows.js"), asset("rows.css")
    height = traitlets.Int(0).tag(sync=True)


class Ladder(Live):
    """The order book around the price.

    State: `symbol`, `bids` and `asks` as pairs of price and qty from the best level outwards, and where wanted `base`,
    `quote`, `price_digits`, `qty_digits`. Which side is heavier is counted from the levels shown alone.

    Attributes:
        depth: Levels shown of each side.
    """

    _esm, _css = asset("ladder.js"), asset("ladder.css")
    depth = traitlets.Int(10).tag(sync=True)


ORDER_COLUMNS: tuple[Row, ...] = (
    {"key": "symbol", "label": "instrument"},
    {"key": "side", "label": "side", "kind": "side"},
    {"key": "role", "label": "role", "kind": "status"},
    {"key": "status", "label": "status", "kind": "status"},
    {"key": "qty", "label": "qty", "kind": "figure", "unit": "base"},
    {"key": "filled_qty", "label": "filled", "kind": "figure", "unit": "base"},
    {"key": "limit_price", "label": "limit", "kind": "figure", "none": True},
    {"key": "stop_price", "label": "stop", "kind": "figure", "none": True},
    {"key": "avg_fill_price", "label": "avg fill", "kind": "figure", "none": True},
    {"key": "decided_ns", "label": "decided", "kind": "time"},
    {"key": "why", "label": "why", "wide": True},
)
"""How orders are shown; the keys are those of the read model's orders."""


class Orders(Rows):
    """Working orders, by `show`."""

    def show(self, orders: Iterable[Row]) -> None:
        """Show orders; one whose outcome is unknown is marked.

        Args:
            orders: With the keys of `ORDER_COLUMNS`, `client_order_id`, and where wanted `base` and `href`.
        """
        rows = [{"level": "over" if order.get("status") == "UNKNOWN" else "", **order} for order in orders]
        self.show_state(
            {"columns": ORDER_COLUMNS, "rows": rows, "key_field": "client_order_id", "none": "No working order."}
        )
