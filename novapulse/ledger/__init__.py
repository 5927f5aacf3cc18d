"""The ledger: what happened, written once, provable, and what follows from it.

`journal.Ledger` is the door; `schema` has the tables, `chain` the hashes, `opening` the ways in, `lease` who may write,
`outbox` the way out.
"""
