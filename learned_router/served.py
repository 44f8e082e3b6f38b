"""Which model serves each tier, and whether it is the one that the labels are about. Knows tiers and names; asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from learned_router.errors import InputError
from learned_router.model_names import contradicts, is_file, is_known, known_names
from learned_router.policy import Reason, Tier
from learned_router.request import kind_of


class Served:
    """models: by tier, the name to call. blocked: tiers of other models, by index, and why, for ``choose_tier``."""

    def __init__(
        self, tiers: Sequence[Tier], models: Mapping[str, str], aliases: Mapping[str, Collection[str]]
    ) -> None:
        """models, aliases: as ``Router.load`` takes them. Raises InputError for an unknown tier, or what is no name."""
        names = [tier.name for tier in tiers]
        for option, given in (("models", models), ("aliases", aliases)):
            if not isinstance(given, Mapping):
                raise InputError(f"{option} is {kind_of(given)}; give names of models by tier")
            if strange := [str(name)[:40] for name in given if name not in names]:
                raise InputError(f"{option} names the tier {strange[0]!r}; this artifact has {', '.join(names)}")
        for name, model in models.items():
            if not isinstance(model, str) or not model.strip():
                raise InputError(f"models[{name!r}] is {kind_of(model)}, or empty; give the name of a model")
        for name, others in aliases.items():
            listed = isinstance(others, Collection) and not isinstance(others, str | bytes | Mapping)
            if not listed or not all(isinstance(other, str) for other in others):
                raise InputError(f"aliases[{name!r}] is {kind_of(others)}; give a list of names")
        self.models = {tier.name: models.get(tier.name, tier.model) for tier in tiers}
        self._known, self._files = {}, set()
        for tier in tiers:
            also = (*tier.aliases, *aliases.get(tier.name, ()))
            self._known[tier.name] = known_names(tier.model, also)
            if any(map(is_file, (tier.model, *also))):
                self._files.add(tier.name)
        self.blocked = {
            index: Reason.UNKNOWN_MODEL
            for index, tier in enumerate(tiers)
            if tier.name in models and not is_known(models[tier.name], self._known[tier.name])
        }
        self._other = {names[index] for index in self.blocked}
        self._top_is_other = len(tiers) - 1 in self.blocked

    def is_unknown(self, tier: str, named: str | None) -> bool:
        """Whether an answer is not of the model that the labels are about, or cannot be set beside that of the top tier.

        named: the model that the answer says it comes from; None where it does not say.
        """
        if self._top_is_other or tier in self._other:
            return True
        return named is not None and contradicts(named, self._known[tier], tier in self._files)
