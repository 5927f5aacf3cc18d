"""The button that must be held.

Invariants:
- it goes to the server by itself, past the kernel: a busy notebook cannot delay it, and Python cannot press it;
- the server decides from its own session who may do this. What stands in the traits only says what to ask for;
- anything but an explicit yes or an explicit no reads "STATE UNKNOWN: look before you press again".
"""

import traitlets

from novapulse.ui.widgets.assets import asset
from novapulse.ui.widgets.live import Live


class Hold(Live):
    """Hold to confirm: POSTs `body` as JSON to `url`, with `X-CSRF` and an `Idempotency-Key` of its own for each press.

    An explicit yes is 2xx with `{"accepted": true, "done": bool, "results_url": ..., "text": ..., "accounts": [...]}`;
    while `done` is false it reads `results_url` for up to 10 s, which answers in the same form. An account has
    `exchange`, `account_id`, `outcome` ("done", "refused"; anything else is unknown) and `text`. An explicit no is 4xx
    with `{"refused": "a sentence", "href": "/where/to/confirm"}`. No answer within 4 s is unknown.

    What closes positions (`prove_s` above 0) is not done when it was obeyed: it reads "Sent: being closed" while
    `results_url` + `/proof` is asked, which answers `{"flat": bool, "accounts": [{"exchange", "account_id", "flat",
    "reasons": [...]}]}`, and ends as "Proven flat" or, when the time is over, as "NOT proven flat" with the reasons.

    What wants the password once more (`confirm_url`) says so before it is held, for as long as `session_url` says that
    the password was not given just now. The link names the page and the button to come back to as `next`.

    State: where wanted `label`, `detail`, `body` (laid over the trait), `allowed` and, when it is false, `why`; and
    `mode`: once that is another than after the last press, the press's yes or no is taken away.

    Attributes:
        url: Address of this site to POST to.
        body: What to POST.
        csrf: Token of the person's session.
        hold_s: Seconds to hold.
        detail: What it does, under the button.
        calm: Whether it looks like a thing that does no harm.
        prove_s: Seconds to go on asking whether the accounts are flat; 0 for a command that closes nothing.
        compact: Whether it shows the button alone while there is nothing to tell, for a bar that is always in reach.
        anchor: Its place on the page, as it stands behind the `#` of an address; one is brought there.
        session_url: Address that tells as `step_up_until_ns` until when the password counts as just given.
        confirm_url: Page that takes the password once more; empty where none is wanted.
        outcome: `{"kind": ..., "text": ...}` of the last press, for display alone; the kind is "yes", "no", "doubt",
            "closing", "flat" or "open".
    """

    _esm, _css = asset("hold.js"), asset("hold.css")
    framed = traitlets.Bool(False).tag(sync=True)
    stale_s = traitlets.Float(0.0).tag(sync=True)
    url = traitlets.Unicode("").tag(sync=True)
    body = traitlets.Dict().tag(sync=True)
    csrf = traitlets.Unicode("").tag(sync=True)
    hold_s = traitlets.Float(1.2).tag(sync=True)
    detail = traitlets.Unicode("").tag(sync=True)
    calm = traitlets.Bool(False).tag(sync=True)
    prove_s = traitlets.Float(0.0).tag(sync=True)
    compact = traitlets.Bool(False).tag(sync=True)
    anchor = traitlets.Unicode("").tag(sync=True)
    session_url = traitlets.Unicode("").tag(sync=True)
    confirm_url = traitlets.Unicode("").tag(sync=True)
    outcome = traitlets.Dict().tag(sync=True)
