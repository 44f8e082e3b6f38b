"""Prices: known or an error, never nothing; from genai-prices where it is installed, else from the dated snapshot."""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router import pricing
from learned_router.errors import InputError
from learned_router.pricing import Price, cost_usd, parse_prices, price_in_package, price_of, read_snapshot


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)


@pytest.mark.usefixtures("no_package")
def test_the_snapshot_says_whose_prices_it_holds_and_of_which_day() -> None:
    price = price_of("gpt-4o-mini")
    assert (price.input_per_million, price.output_per_million) == (0.15, 0.6)
    assert price.source.startswith("genai-prices ")
    assert date(2026, 1, 1) <= date.fromisoformat(price.as_of) <= date.today()


@pytest.mark.usefixtures("no_package")
def test_every_model_of_the_snapshot_costs_something_and_every_name_leads_to_one() -> None:
    snapshot = read_snapshot()
    assert len(snapshot.prices) >= 30
    assert set(snapshot.names.values()) == set(snapshot.prices)
    for name in snapshot.names:
        assert cost_usd(name, 1_000_000, 1_000_000) > 0


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize("name", ["openai/gpt-4o", "GPT-4o", "gpt-4o-2024-08-06"])
def test_a_model_is_known_with_its_provider_in_any_case_and_under_dates_that_were_checked(name: str) -> None:
    assert price_of(name).input_per_million == 2.5


@pytest.mark.usefixtures("no_package")
def test_a_dated_model_with_a_price_of_its_own_has_that() -> None:
    assert price_of("gpt-4o-2024-05-13").input_per_million == 5.0


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    "name", ["no-such-model", "", "gpt-4o-2031-01-01", "my/gpt-4o", "azure/gpt-4o", "gpt-4o:free", "ft:gpt-4o:us"]
)
def test_an_unknown_model_is_an_error_that_says_how_to_give_its_price(name: str) -> None:
    with pytest.raises(InputError, match=r"no price is known for model .* --price"):
        price_of(name)
    with pytest.raises(InputError):
        cost_usd(name, 1, 1)


def test_a_long_request_is_charged_whole_at_the_price_of_long_ones() -> None:
    price = Price(3.0, 15.0, above_tokens=200_000, input_above=6.0, output_above=22.5)
    assert price.cost_usd(200_000, 1_000) == pytest.approx(0.6 + 0.015)
    assert price.cost_usd(200_001, 1_000) == pytest.approx(1.200006 + 0.0225)


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_tokens_never_cost_less(given_tokens: int, made: int, more: int) -> None:
    price = Price(3.0, 15.0, above_tokens=200_000, input_above=6.0, output_above=22.5)
    assert price.cost_usd(given_tokens + more, made) >= price.cost_usd(given_tokens, made)
    assert price.cost_usd(given_tokens, made + more) >= price.cost_usd(given_tokens, made)


def test_prices_are_read_with_names_that_hold_an_equals_sign() -> None:
    prices = parse_prices(["small=0,0", "a=b=0.15,0.6"])
    assert (prices["small"].input_per_million, prices["small"].output_per_million) == (0.0, 0.0)
    assert (prices["a=b"].input_per_million, prices["a=b"].source) == (0.15, "--price")


@pytest.mark.parametrize(
    "option",
    ["small", "small=", "small=1", "small=1,2,3", "small=a,b", "small=-1,0", "small=nan,0", "small=inf,1", "=1,2"],
)
def test_a_price_that_is_none_is_told(option: str) -> None:
    with pytest.raises(InputError, match="write NAME=IN,OUT"):
        parse_prices([option])


def test_a_price_given_twice_is_told() -> None:
    with pytest.raises(InputError, match="given twice"):
        parse_prices(["m=1,1", "m=2,2"])


class Package(ModuleType):
    """The part of genai-prices that is used, with one model that is free, one that depends on the hour, one of tiers."""

    __version__ = "9.9"
    Usage = SimpleNamespace

    @staticmethod
    def calc_price(usage: Any, name: str, provider_id: str | None, genai_request_timestamp: Any) -> Any:
        night = genai_request_timestamp.hour < 8
        tiers = SimpleNamespace(base=Decimal(3), tiers=[SimpleNamespace(start=200_000, price=Decimal(6))])
        prices = {
            ("free", None): (Decimal(0), Decimal(0)),
            ("hourly", None): (Decimal(1 if night else 2), Decimal(4)),
            ("tiered", "google"): (tiers, Decimal(15)),
            ("image", None): (None, None),
        }
        if (name, provider_id) not in prices:
            raise LookupError(name)
        given, made = prices[(name, provider_id)]
        return SimpleNamespace(model_price=SimpleNamespace(input_mtok=given, output_mtok=made))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", Package("genai_prices"))


@pytest.mark.usefixtures("package")
def test_of_prices_by_the_hour_the_highest_is_taken() -> None:
    assert price_of("hourly").input_per_million == 2.0
    assert price_of("hourly").source == "genai-prices 9.9"


@pytest.mark.usefixtures("package")
def test_a_provider_before_the_name_is_told_to_the_package_by_its_own_word() -> None:
    price = price_of("gemini/tiered")
    assert (price.above_tokens, price.input_above, price.output_above) == (200_000, 6.0, 15.0)


@pytest.mark.usefixtures("package")
def test_a_model_listed_as_free_is_an_error_until_the_user_says_so() -> None:
    with pytest.raises(InputError, match=r"at \$0; if that is right, say --price 'free=0,0'"):
        price_of("free")


@pytest.mark.usefixtures("package")
def test_what_the_package_does_not_know_or_charge_by_tokens_the_snapshot_is_asked_for() -> None:
    assert price_in_package("image") is None
    assert price_of("gpt-4o").source != "genai-prices 9.9"


def test_the_real_package_agrees_with_the_snapshot_on_what_has_not_changed_since() -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is not installed")
    snapshot = read_snapshot()
    price = price_in_package("gpt-4-0613")
    assert price is not None
    assert price.input_per_million == snapshot.prices["gpt-4"].input_per_million
    assert pricing.price_of("gpt-4-0613").source.startswith("genai-prices ")
