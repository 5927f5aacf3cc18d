"""People and what they tell a running trader: who may do what, one router and one inbox for every channel."""
