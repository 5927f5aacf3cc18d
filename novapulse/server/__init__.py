"""The server: one sign-in before apps, REST interface and live stream; it reads the ledger and writes the inbox.

Invariants:
- nothing here reaches into a running trader: the server may die and come back, and no trader notices;
- whoever is not known gets the sign-in page and nothing else; what a visitor may do is asked anew at every request;
- what changes something is an audit row before it is done, and is never done by a GET.
"""
