"""What can be seen of an answer without asking anybody. ``features`` is the room that others ask; the rest are its own."""
