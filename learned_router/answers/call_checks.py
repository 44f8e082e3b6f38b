"""Check an answer's calls against the tools offered and the request, without running anything.

Joins what is seen of schemas and of values; knows nothing of models or thresholds. Everything is bounded: so many calls,
tools and values are looked at and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, Final

import msgspec

from learned_router.answer import ToolCall
from learned_router.answers.call_values import VALUE_CHARS, look_at_number, look_at_text, spell_number, spoken_numbers
from learned_router.answers.said import WORD, Said, split_name, stems_of
from learned_router.answers.schema_checks import (
    ENUM_CHECKED,
    NODES_CHECKED,
    VALUES_CHECKED,
    SchemaFaults,
    check_value,
    fields_of,
    leaves_of,
    same,
)
from learned_router.request import function_of, text_of

CALLS_CHECKED: Final = 64
TOOLS_CHECKED: Final = 64
# of all calls of an answer, strings and numbers that are looked for in the request
LEAVES_CHECKED: Final = 256
# and parts of values that are held against schemas, shared by all arguments: 64 calls of 64 large ones would take minutes
NODES_SHARED: Final = 8_192
# Under these a log keeps arguments that came without names, or that could not be read.
UNNAMED: Final = ("__positional__", "__raw__")
# Verbs that begin the names of tools whatever they are about
_VERB_WORDS: Final = (
    "get find calculate calc compute fetch search retrieve create make set update list check determine function"
)
_VERBS: Final = stems_of(_VERB_WORDS.split())


class CallChecks(msgspec.Struct):
    """What was found of all calls of an answer together; counts, but for the shares at the end.

    unreadable: calls whose arguments are no object; unnamed: whose arguments have no names. missing: required arguments
    left out. faults: values that the schema does not allow. ungrounded: required and optional strings and numbers that do
    not occur in the request. least_grounded: of all strings, the least share of words that occur in it. missed: optional
    arguments left out whose name or value the request mentions; missed_share: the largest share of the words of the name
    of an argument left out that it holds; missed_values: of the values that the description of such a one names, those
    that it says. off_format and what follows: values by what was seen of each. duplicates: calls that repeat another.
    unused_numbers, unused_names: shares of the request's numbers and names that stand in no call. out_of_order: of numbers
    of a call that follow each other, the share that do not in the request.
    """

    calls: int = 0
    unknown_tools: int = 0
    unreadable: int = 0
    unnamed: int = 0
    missing: int = 0
    faults: SchemaFaults = msgspec.field(default_factory=SchemaFaults)
    arguments: int = 0
    optional: int = 0
    defaults: int = 0
    strings: int = 0
    numbers: int = 0
    booleans: int = 0
    ungrounded_required: int = 0
    ungrounded_optional: int = 0
    missed: int = 0
    missed_values: int = 0
    off_format: int = 0
    placeholders: int = 0
    other_unit: int = 0
    duplicates: int = 0
    tools_called: int = 0
    missed_share: float = 0.0
    least_grounded: float = 1.0
    unused_numbers: float = 0.0
    unused_names: float = 0.0
    out_of_order: float = 0.0


class ToolFit(msgspec.Struct, frozen=True):
    """How far the tools called are about what the request is about, all shares.

    fit: of the words of their names and descriptions, those that the request holds; name_fit: of their names alone.
    fit_of_others: the fit of the best tool not called. covered: of the request's words, those that stand in the tools
    called, their arguments or the calls; covered_by_others: in any tool not called, and not in these.
    """

    fit: float
    name_fit: float
    fit_of_others: float
    covered: float
    covered_by_others: float


def functions_of(tools: Sequence[Mapping[str, Any]], most: int | None = TOOLS_CHECKED) -> dict[str, Mapping[str, Any]]:
    """The functions offered by name, the first ``most`` of them, or all."""
    named = {}
    for tool in tools[:most]:
        function = function_of(tool)
        named[text_of(function, "name")] = function
    named.pop("", None)
    return named


def check_calls(calls: Sequence[ToolCall], offered: Mapping[str, Mapping[str, Any]], said: Said) -> CallChecks:
    """Check the calls of an answer, the first ``CALLS_CHECKED`` of them. offered: as ``functions_of`` gives them."""
    found = CallChecks(calls=len(calls))
    used: list[str] = []
    wholes: list[list[Any]] = []
    called: set[str] = set()
    for call in calls[:CALLS_CHECKED]:
        name, arguments = _check_shape(call, offered, found)
        leaves = list(leaves_of(arguments))
        called.add(name)
        whole = [name, *islice(arguments, VALUES_CHECKED), *leaves, *islice(_booleans(arguments), VALUES_CHECKED)]
        found.duplicates += whole in wholes
        wholes.append(whole)
        if _is_unnamed(arguments):
            found.unnamed += 1
            continue
        _check_arguments(arguments, offered.get(name, {}), said, found, used)
        found.out_of_order = max(found.out_of_order, _disorder(leaves, said))
    found.tools_called = len(called)
    if calls:
        spoken = " ".join(used).lower()
        found.unused_numbers = _share_absent(said.numbers, spoken_numbers(spoken))
        found.unused_names = _share_absent(said.names, set(WORD.findall(spoken)))
    return found


def check_shapes(calls: Sequence[ToolCall], offered: Mapping[str, Mapping[str, Any]]) -> CallChecks:
    """Of ``check_calls`` only what makes a call fail for certain: unknown_tools, unreadable and missing."""
    found = CallChecks(calls=len(calls))
    for call in calls[:CALLS_CHECKED]:
        _check_shape(call, offered, found)
    return found


def fit_tools(calls: Sequence[ToolCall], offered: Mapping[str, Mapping[str, Any]], said: Said) -> ToolFit:
    """How the tools called, and the others, fit the request."""
    called = {match_tool(call.name, offered) for call in calls[:CALLS_CHECKED]} & offered.keys()
    own: set[str] = set()
    others: set[str] = set()
    fit = name_fit = fit_of_others = 0.0
    for name, function in offered.items():
        named = stems_of(split_name(name[:VALUE_CHARS])) - _VERBS
        about = named | stems_of(WORD.findall(text_of(function, "description")[:VALUE_CHARS].lower()))
        share = len(about & said.stems) / max(len(about), 1)
        if name not in called:
            fit_of_others = max(fit_of_others, share)
            others |= about
            continue
        fit = max(fit, share)
        name_fit = max(name_fit, len(named & said.stems) / max(len(named), 1))
        own |= about
        for argument, about_it in islice(fields_of(function.get("parameters"))[0].items(), VALUES_CHECKED):
            own |= stems_of(split_name(argument[:VALUE_CHARS])) if isinstance(argument, str) else set()
            own |= stems_of(WORD.findall(_description(about_it)))
    for call in calls[:CALLS_CHECKED]:
        for leaf in leaves_of(call.arguments):
            if isinstance(leaf, str):
                own |= stems_of(WORD.findall(leaf[:VALUE_CHARS].lower()))
    subject = {stem for stem in said.stems if not stem[0].isdigit()}
    return ToolFit(
        fit=fit,
        name_fit=name_fit,
        fit_of_others=fit_of_others,
        covered=len(subject & own) / max(len(subject), 1),
        covered_by_others=len((subject & others) - own) / max(len(subject), 1),
    )


def match_tool(name: str, offered: Mapping[str, Any]) -> str:
    """The offered name that was meant: servers that allow no dots make ``a.b`` to ``a_b``."""
    if name in offered or len(name) > VALUE_CHARS:
        return name
    plain = name.replace(".", "_")
    return next((other for other in offered if other.replace(".", "_") == plain), name)


def _check_shape(
    call: ToolCall, offered: Mapping[str, Mapping[str, Any]], found: CallChecks
) -> tuple[str, Mapping[Any, Any]]:
    """The name of the tool meant, and the arguments that can be read; counts what is certainly wrong with either."""
    name = match_tool(call.name, offered)
    if name not in offered:
        # without a list of tools there is nothing that a name could be missing from
        found.unknown_tools += bool(offered)
    arguments: Mapping[Any, Any] = {}
    if isinstance(call.arguments, Mapping):
        arguments = call.arguments
    else:
        found.unreadable += call.arguments is not None
    if not _is_unnamed(arguments):
        required = fields_of(offered.get(name, {}).get("parameters"))[1]
        found.missing += sum(wanted not in arguments for wanted in required)
    return name, arguments


def _is_unnamed(arguments: Mapping[Any, Any]) -> bool:
    return any(key in arguments for key in UNNAMED)


def _check_arguments(
    arguments: Mapping[Any, Any], function: Mapping[str, Any], said: Said, found: CallChecks, used: list[str]
) -> None:
    properties, required = fields_of(function.get("parameters"))
    found.arguments += len(arguments)
    for name, value in islice(arguments.items(), VALUES_CHECKED):
        about = properties.get(name)
        optional = name not in required
        found.optional += optional
        found.faults.unknown += bool(properties) and about is None
        about = about if isinstance(about, Mapping) else {}
        if optional and "default" in about and same(about["default"], value):
            found.defaults += 1
            continue
        found.booleans += isinstance(value, bool)
        nodes = min(NODES_CHECKED, NODES_SHARED // found.arguments)
        check_value(value, about, found.faults, nodes)
        _check_grounds(value, about, optional, said, found, used)
    for name, about in islice(properties.items(), VALUES_CHECKED):
        if name not in arguments and name not in required and isinstance(about, Mapping):
            _check_left_out(name, about, said, found)


def _check_grounds(
    value: Any, about: Mapping[str, Any], optional: bool, said: Said, found: CallChecks, used: list[str]
) -> None:
    """Whether strings and numbers come from the request, and look as their description says."""
    description = _description(about)
    has_enum = isinstance(about.get("enum"), list)
    left = LEAVES_CHECKED - found.strings - found.numbers
    for leaf in islice(leaves_of(value), min(VALUES_CHECKED, max(left, 0))):
        text = leaf[:VALUE_CHARS] if isinstance(leaf, str) else spell_number(leaf)
        if not text:
            continue
        used.append(text)
        if not isinstance(leaf, str):
            found.numbers += 1
            look = look_at_number(leaf, text, description, said)
        else:
            found.strings += 1
            if has_enum:
                continue
            look = look_at_text(text, description, said)
            found.least_grounded = min(found.least_grounded, look.share)
        found.off_format += look.off_format
        found.placeholders += look.placeholder
        found.other_unit += look.other_unit
        if look.share <= 0.99:
            found.ungrounded_required += not optional
            found.ungrounded_optional += optional


def _check_left_out(name: Any, about: Mapping[str, Any], said: Said, found: CallChecks) -> None:
    """Whether the request seems to ask for an optional argument that a call does without."""
    words = split_name(name[:VALUE_CHARS]) if isinstance(name, str) else []
    stems = stems_of(words)
    share = len(stems & said.stems) / len(stems) if stems else 0.0
    found.missed_share = max(found.missed_share, share)
    allowed = about.get("enum")
    default = about.get("default")
    values = (
        [v[:VALUE_CHARS].lower() for v in allowed[:ENUM_CHECKED] if isinstance(v, str) and v != default]
        if isinstance(allowed, list)
        else []
    )
    mentioned = any(value in said.words for value in values)
    found.missed += mentioned or (bool(words) and all(word in said.words for word in words))
    named = quoted_in(_description(about))
    found.missed_values += mentioned or any(value in said.words for value in named)


def quoted_in(description: str) -> list[str]:
    """Values that a description names in quotes, but for the default: that is what a call left out means."""
    pieces = description.replace('"', "'").split("'")
    return [
        value
        for before, value in zip(pieces[::2], pieces[1::2], strict=False)
        if 0 < len(value) <= 40 and "default" not in before[-24:]
    ]


def _booleans(arguments: Mapping[Any, Any]) -> Iterator[bool]:
    return (value for value in arguments.values() if isinstance(value, bool))


def _description(about: Any) -> str:
    return text_of(about, "description")[:VALUE_CHARS].lower() if isinstance(about, Mapping) else ""


def _disorder(leaves: Sequence[Any], said: Said) -> float:
    """Of numbers that follow each other in a call, the share that stand the other way round in the request."""
    texts = [spell_number(leaf).lstrip("-") for leaf in leaves if not isinstance(leaf, str)]
    places = [said.places[text] for text in texts if text in said.places]
    pairs = list(pairwise(places))
    return sum(one > other for one, other in pairs) / len(pairs) if pairs else 0.0


def _share_absent(wanted: frozenset[str], there: set[str]) -> float:
    return sum(item not in there for item in wanted) / len(wanted) if wanted else 0.0
