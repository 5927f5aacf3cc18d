"""How people tell a running trader something: one inbox for every channel."""
