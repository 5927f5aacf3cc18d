"""What we believe against what the venue shows: a view and a snapshot become breaks, breaks become resolutions.

Invariants:
- pure: the same view, snapshot and moment give the same breaks, in whatever order the snapshot lists things;
- absence needs proof: an order that a list lacks is looked up, never believed cancelled, and no resolution carries a
  last word that the venue did not say;
- a read that failed, or is old, is no data: it freezes entries and changes nothing else;
- what was active within the last five seconds is left alone, for both sides may be right;
- what cannot be undone (a cancel, a halt for a difference of amounts) waits for a second, identical reading;
- the narrowest scope is stopped first: order, instrument, account;
- a difference that nobody can explain is never plugged: it stops what it touches until somebody explains it.
"""
