"""Whether backtest, replay and recorded session are the same: each rung of the ladder, shown rather than believed.

- `plain`: the fold of the backtest a second time, in plain Python and without a short cut.
- `playing`: the whole engine over recorded bars in virtual time, with what happened to it besides.
- `trips`, `causes`: round trips of two runs side by side, and why they differ.
- `kept`: what a ledger holds of a session, read-only; `sessions`: a recorded session, run again.
- `rederive`: one recorded decision, made again to the bit.
- `ladder`: all of it in order.
"""
