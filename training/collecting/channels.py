"""Send one chat-completions request and bring back what came, over HTTP or through litellm. Knows no record and no retry.

A key goes into a header and nowhere else; what a server says back is scrubbed of every key in the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import httpx

from learned_router.errors import MissingExtraError
from learned_router.training.collecting.endpoints import Endpoint, api_key

LONGEST_ANSWER_BYTES: Final = 64 * 2**20
# variables whose value must not come back in an error: litellm reads a key of its own name for each provider
SECRET_NAME: Final = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
SHORTEST_SECRET: Final = 8


class Reply(NamedTuple):
    """What came back. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReplyError(Exception):
    """Nothing whole came back. reason: ``timeout``, ``not_connected``, ``broken_off``, ``too_long`` or ``bad_request``.

    charged: whether the server may have worked on it, and may charge for it.
    """

    def __init__(self, reason: str, detail: str, *, charged: bool) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.charged = charged


class Channel(Protocol):
    """An open way to one endpoint."""

    async def send(self, body: dict[str, Any]) -> Reply:
        """Raises NoReplyError when no whole reply comes in time."""

    async def close(self) -> None: ...


class HttpChannel:
    """An OpenAI-compatible server. Redirects are not followed: the key is for this host alone."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, connections: int) -> None:
        key = api_key(endpoint)
        self._url = endpoint.url.rstrip("/") + "/chat/completions"
        self._timeout_s = timeout_s
        self._variable = endpoint.api_key_variable
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def send(self, body: dict[str, Any]) -> Reply:
        received = bytearray()
        try:
            content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as failure:
            raise NoReplyError("bad_request", f"it cannot be written as JSON ({failure})", charged=False) from None
        try:
            # httpx's own limit holds for each read: a server that drips bytes would never meet it
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=content) as response,
            ):
                async for block in response.aiter_bytes():
                    received += block
                    if len(received) > LONGEST_ANSWER_BYTES:
                        raise NoReplyError("too_long", f"more than {LONGEST_ANSWER_BYTES} bytes", charged=True)
                return Reply(response.status_code, response.headers, bytes(received))
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise NoReplyError("timeout", f"no whole answer within {self._timeout_s:g} s", charged=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as failure:
            raise NoReplyError("not_connected", _told(failure, self._variable), charged=False) from None
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise NoReplyError("broken_off", _told(failure, self._variable), charged=True) from None

    async def close(self) -> None:
        await self._client.aclose()


class LitellmChannel:
    """Any model that litellm knows, with the key where litellm looks for it, or in the variable that is named."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it fetches a file from the web
        try:
            import litellm
        except ModuleNotFoundError:
            raise MissingExtraError(
                f"a model is asked through litellm ({endpoint.served_name}), which is not installed: "
                "pip install 'learned-router[litellm]'"
            ) from None
        litellm.suppress_debug_info = True  # it prints advice and links at each failure
        self._litellm = litellm
        self._key = api_key(endpoint)
        self._variable = endpoint.api_key_variable
        self._timeout_s = timeout_s

    async def send(self, body: dict[str, Any]) -> Reply:
        options: dict[str, Any] = {"timeout": self._timeout_s, "num_retries": 0, "max_retries": 0}
        if self._key:
            options["api_key"] = self._key
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._litellm.acompletion(**body, **options)
            return Reply(200, {}, json.dumps(answer.model_dump(), default=str).encode())
        except (TimeoutError, self._litellm.exceptions.Timeout):
            raise NoReplyError("timeout", f"no whole answer within {self._timeout_s:g} s", charged=True) from None
        except Exception as failure:  # litellm's errors have no root of their own
            status = getattr(failure, "status_code", None)
            if isinstance(failure, self._litellm.exceptions.APIConnectionError) or not isinstance(status, int):
                raise NoReplyError("not_connected", _told(failure, self._variable), charged=True) from None
            headers = getattr(getattr(failure, "response", None), "headers", None) or {}
            return Reply(status, headers, _told(failure, self._variable).encode())

    async def close(self) -> None:
        """Its connections are litellm's own."""


def open_channel(endpoint: Endpoint, timeout_s: float, connections: int) -> Channel:
    """The way to ``endpoint``. Raises InputError for a key that is not set, MissingExtraError for a missing litellm."""
    if endpoint.through_litellm:
        return LitellmChannel(endpoint, timeout_s)
    return HttpChannel(endpoint, timeout_s, connections)


def scrub(text: str, variable: str | None = None) -> str:
    """``text`` without the value of ``variable``, or of any environment variable whose name says that it is a secret."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if (SECRET_NAME.search(name) and len(value.strip()) >= SHORTEST_SECRET) or (name == variable and value.strip())
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "…")
    return text


def _told(failure: Exception, variable: str | None) -> str:
    return scrub(f"{type(failure).__name__}: {failure}", variable)[:300]
