"""Rooms of ``label``: steps, duplicates, redaction, review, and what is told of a run."""
