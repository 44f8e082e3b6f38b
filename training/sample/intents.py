"""Topics of user messages and sentences that hint at each without naming it. Data only."""

from __future__ import annotations

from typing import Final

TOPICS: Final[dict[str, tuple[str, ...]]] = {
    "password": ("I cannot log in any more.", "It says my login is wrong.", "I forgot my secret word."),
    "delivery": ("My parcel has not come yet.", "Where is the package?", "The courier never rang."),
    "refund": ("I want my money back.", "Return what I paid, please.", "Give me back the 20 euros."),
    "holiday": ("I will be away next week.", "I want some days off in July.", "Nobody works on Monday, right?"),
    "weather": ("Will it rain tomorrow?", "Do I need an umbrella?", "Is it going to snow?"),
    "printer": ("No paper comes out of it.", "The ink is empty.", "My pages are all blank."),
    "meeting": ("Can we talk at three o'clock?", "Who joins the call today?", "Let us sit together on Friday."),
    "invoice": ("The bill shows the wrong sum.", "I never got the bill.", "Please send me the bill again."),
    "parking": ("Where can I leave my car?", "The garage gate stays shut.", "All car places are taken."),
    "lunch": ("What is there to eat today?", "Is the kitchen open at noon?", "I am hungry, what is on the menu?"),
}
