"""Words and values the sample is filled with: people, places, file names. Knows nothing of requests."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

PEOPLE: Final = (
    "Nora", "Emil", "Tara", "Jonas", "Lina", "Pavel", "Rosa", "Hugo", "Amira", "Felix", "Greta", "Ivan",
    "Maya", "Otto", "Selma", "Viktor", "Yara", "Bruno", "Clara", "Dario", "Edith", "Farid", "Hanna", "Karim",
)  # fmt: skip
FAMILY_NAMES: Final = (
    "Lund", "Berg", "Costa", "Novak", "Haas", "Moreau", "Silva", "Kern", "Olsen", "Rossi", "Weber", "Dahl",
    "Fischer", "Marin", "Petit", "Stone",
)  # fmt: skip
CITIES: Final = (
    "Oslo", "Bergen", "Rome", "Lisbon", "Bonn", "Turin", "Lyon", "Ghent", "Porto", "Graz", "Malmo", "Split",
    "Basel", "Riga", "Vienna", "Cork", "Leeds", "Nantes",
)  # fmt: skip
WORDS: Final = (
    "lamp", "river", "garden", "window", "copper", "silver", "basket", "harbor", "meadow", "candle", "tiger",
    "orange", "planet", "bridge", "pepper", "violin", "castle", "ladder", "mirror", "pocket", "rocket", "saddle",
    "tunnel", "walnut", "button", "cactus", "dolphin", "engine", "feather", "guitar",
)  # fmt: skip
FILES: Final = (
    "notes.txt",
    "README.md",
    "report.pdf",
    "config.yaml",
    "main.py",
    "budget.csv",
    "logo.png",
    "index.html",
)
FOLDERS: Final = ("docs", "src", "archive", "shared", "drafts", "photos", "team", "reports")
PHRASES: Final = (
    "Fix login", "Update the docs", "Weekly report", "Clean the cache", "New logo", "Slow search", "Broken link",
    "Team lunch", "Dark theme", "Price list", "Design review", "Missing icon", "Faster start", "Spring sale",
)  # fmt: skip
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
NUMBER_WORDS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
OPPOSITES: Final = {
    "hot": "cold", "big": "small", "up": "down", "open": "closed", "fast": "slow", "light": "dark", "happy": "sad",
    "young": "old", "rich": "poor", "full": "empty", "early": "late", "high": "low", "left": "right", "hard": "soft",
    "day": "night", "wet": "dry", "first": "last", "true": "false", "good": "bad", "strong": "weak",
}  # fmt: skip
CAPITALS: Final = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Japan": "Tokyo", "Norway": "Oslo",
    "Egypt": "Cairo", "Russia": "Moscow", "China": "Beijing", "Greece": "Athens", "Portugal": "Lisbon",
    "Austria": "Vienna", "Ireland": "Dublin", "Poland": "Warsaw", "Sweden": "Stockholm", "Cuba": "Havana",
}  # fmt: skip
RARE_CAPITALS: Final = {
    "Palau": "Ngerulmud", "Benin": "Porto-Novo", "Burkina Faso": "Ouagadougou", "Kiribati": "Tarawa",
    "Lesotho": "Maseru", "Bhutan": "Thimphu", "Nauru": "Yaren", "Suriname": "Paramaribo", "Malawi": "Lilongwe",
    "Eswatini": "Mbabane", "Moldova": "Chisinau", "Vanuatu": "Port Vila", "Tuvalu": "Funafuti", "Gabon": "Libreville",
}  # fmt: skip


def full_name(rng: random.Random) -> str:
    return f"{rng.choice(PEOPLE)} {rng.choice(FAMILY_NAMES)}"


def email(rng: random.Random) -> str:
    return f"{rng.choice(PEOPLE).lower()}@{rng.choice(WORDS)}.example"


def path(rng: random.Random) -> str:
    return f"{rng.choice(FOLDERS)}/{rng.choice(FILES)}"


# how a tool's argument of each kind is drawn, and the JSON type its schema states
VALUES: Final[dict[str, tuple[str, Callable[[random.Random], Any]]]] = {
    "person": ("string", lambda rng: rng.choice(PEOPLE)),
    "city": ("string", lambda rng: rng.choice(CITIES)),
    "number": ("integer", lambda rng: rng.randint(11, 99)),
    "path": ("string", path),
    "title": ("string", lambda rng: rng.choice(PHRASES)),
    "email": ("string", email),
    "word": ("string", lambda rng: rng.choice(WORDS)),
}
