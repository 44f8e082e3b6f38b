"""Rooms of ``collect``: what to ask whom, at what price and pace, and the journal of what was paid."""
