"""Evaluate short expressions and call strings that stand in references and answers, without ever executing them.

Knows Python's syntax tree and arithmetic; knows nothing of records or grading.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

# Longer texts are no expressions anybody wrote as an answer; parsing them would only cost time.
MAX_CHARS: Final = 4_000
MAX_EXPONENT: Final = 512
MAX_DIGITS: Final = 400
MAX_FACTORIAL: Final = 170  # 171! no longer fits a float

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "ln": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "radians": math.radians,
    "degrees": math.degrees,
    "abs": abs,
    "float": float,
    "int": int,
}
_NAMES: Final[dict[str, Any]] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "pi": math.pi,
    "e": math.e,
    "inf": math.inf,
}


class Call(NamedTuple):
    """One parsed call string."""

    name: str
    positional: list[Any]
    named: dict[str, Any]


class NotAValueError(ValueError):
    """The expression is no literal and no arithmetic that can be worked out within bounds."""


def parse(text: str) -> ast.expr | None:
    """Python's tree of ``text`` as one expression; None when it is none, or too long or deep to be one."""
    text = text.strip()
    if not text or len(text) > MAX_CHARS or "\0" in text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # "invalid escape sequence" and such are the answer's affair, not the user's
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=1024)  # a reference is parsed once, not once a tier
def parse_call(text: str) -> Call | None:
    """``"f(1, b=[2])"`` as name, positional and named arguments; what cannot be worked out stays source text."""
    node = parse(text)
    if not isinstance(node, ast.Call):
        return None
    named = {keyword.arg: _value_or_source(keyword.value) for keyword in node.keywords if keyword.arg is not None}
    return Call(ast.unparse(node.func), [_value_or_source(value) for value in node.args], named)


def evaluate(text: str, variables: Mapping[str, float] | None = None) -> Any:
    """Value of a literal or of arithmetic such as ``1/6`` or ``sqrt(2)*pi``; tuples come back as tuples.

    variables: values of further names. Raises NotAValueError.
    """
    node = parse(text)
    if node is None:
        raise NotAValueError(text[:80])
    return _value_of(node, variables or {})


def same_function(left: str, right: str) -> bool:
    """Whether two texts are lambdas that differ only in layout and in the names of their arguments."""
    if not (left.lstrip().startswith("lambda") and right.lstrip().startswith("lambda")):
        return False
    trees = [parse(text) for text in (left, right)]
    forms = [_renamed(tree) for tree in trees if isinstance(tree, ast.Lambda)]
    return len(forms) == 2 and forms[0] == forms[1]


def _renamed(function: ast.Lambda) -> str:
    """The tree of a parsed lambda as text, its arguments named by their places."""
    names = {argument.arg: f"argument {i}" for i, argument in enumerate(function.args.args)}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            node.arg = names.get(node.arg, node.arg)
        elif isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.dump(function)


def _value_or_source(node: ast.expr) -> Any:
    try:
        return _value_of(node, {})
    except NotAValueError:
        return ast.unparse(node)


def _value_of(node: ast.expr, variables: Mapping[str, float]) -> Any:
    try:
        return _evaluate(node, variables)
    except NotAValueError:
        raise
    except (ArithmeticError, ValueError, TypeError, RecursionError) as error:
        raise NotAValueError(str(error)) from None


def _evaluate(node: ast.expr, variables: Mapping[str, float]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [_evaluate(item, variables) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_evaluate(item, variables) for item in items)
        case ast.Set(elts=items):
            return {_evaluate(item, variables) for item in items}
        case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
            pairs = zip(keys, values, strict=True)
            return {_evaluate(k, variables): _evaluate(v, variables) for k, v in pairs if k is not None}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(_evaluate(operand, variables))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _number(_evaluate(operand, variables))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_number(_evaluate(left, variables)), _number(_evaluate(right, variables)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_number(_evaluate(left, variables)), _number(_evaluate(right, variables)))
        case ast.Call(func=func, args=[argument], keywords=[]):
            return _apply(_last_name(func), _number(_evaluate(argument, variables)))
        case ast.Name(id=name) if name in variables:
            return variables[name]
        case ast.Name() | ast.Attribute() if _last_name(node).lower() in _NAMES:
            return _NAMES[_last_name(node).lower()]
    raise NotAValueError(type(node).__name__)


def _last_name(node: ast.expr) -> str:
    """``sqrt`` of both ``sqrt`` and ``math.sqrt``."""
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"math", "np", "numpy"}
    ):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _apply(name: str, argument: Any) -> Any:
    if name == "factorial" and isinstance(argument, int) and 0 <= argument <= MAX_FACTORIAL:
        return math.factorial(argument)
    if name not in _FUNCTIONS:
        raise NotAValueError(name)
    return _FUNCTIONS[name](argument)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAValueError(repr(value)[:80])
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 4:
        raise NotAValueError("number too large")
    return value


def _power(left: int | float, right: int | float) -> Any:
    # 9**9**9 would hang: a power is worked out only where its result stays small
    if abs(right) > MAX_EXPONENT or (isinstance(left, int) and left.bit_length() * abs(right) > MAX_DIGITS * 4):
        raise NotAValueError("power too large")
    result = left**right
    if isinstance(result, complex):
        raise NotAValueError("complex")
    return result
