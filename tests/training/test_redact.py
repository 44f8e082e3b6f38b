"""Nothing secret is written, records stay readable and apart, and what only looks random stays as it is."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.errors import MissingExtraError
from learned_router.request import Message
from learned_router.training.label import label, label_files
from learned_router.training.labelling.secret_patterns import is_card_number
from learned_router.training.records import Output, Record, ToolCall

pytest.importorskip("detect_secrets", reason="detect-secrets, of the train extra, is not installed")

from learned_router.training.labelling.audit import AuditPlan
from learned_router.training.labelling.redact import Redactor

REDACTOR = Redactor()
LETTERS = "Zq3vN8sK1xR7mB5tY2wP9dL4hJ6gF0cAuEiO"
# made up here, in the shape that each service gives its keys, and put together so that no scanner takes them for real
SECRETS = {
    "e-mail": "erin.o.neil+ops@mail.example-corp.co.uk",
    "AWS": "AKIA" + "Z3QXN8SKR7MB5TY2",
    "GitHub": "ghp_" + LETTERS,
    "GitHub, fine-grained": "github_pat_" + LETTERS[:22] + "_" + LETTERS,
    "GitLab": "glpat-" + LETTERS[:20],
    "OpenAI": "sk-" + "proj-" + LETTERS,
    "Anthropic": "sk-" + "ant-api03-" + LETTERS + "-" + LETTERS[:8],
    "Slack": "xoxb-" + "123456789012-123456789012-" + LETTERS[:24].lower(),
    "Stripe": "sk_" + "live_" + LETTERS[:24],
    "SendGrid": "SG." + LETTERS[:22] + "." + LETTERS + LETTERS[:7],
    "Google": "AIza" + LETTERS[:35],
    "Hugging Face": "hf_" + LETTERS[:34],
    "npm": "npm_" + LETTERS,
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + LETTERS,
    "Twilio": "AC" + "0123456789abcdef" * 2,
    "Telegram": "123456789:AA" + LETTERS[:33],
    "Discord": "M" + LETTERS[:23] + "." + LETTERS[:6] + "." + LETTERS[:27],
    "card, Visa": "4111 1111 1111 1111",
    "card, Mastercard": "5555-5555-5555-4444",
    "card, Amex": "378282246310005",
}


def record(text: str, identity: str = "a", **changes: Any) -> Record:
    outputs = {"tiny": Output(text="yes"), "big": Output(text="yes")}
    return msgspec.structs.replace(Record(identity, [Message("user", text)], outputs), **changes)


def redact(text: str) -> str:
    return REDACTOR.redact_text(text)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "around", ["{}", "use {} please", "see:\n{}\nthanks.", '{{"value": "{}"}}', "({}),", "Ключ {}."]
)
def test_every_kind_of_secret_is_replaced_whatever_stands_around_it(kind: str, around: str) -> None:
    clean = redact(around.format(SECRETS[kind]))
    assert SECRETS[kind] not in clean
    assert re.fullmatch(re.escape(around.format("@@")).replace("@@", r"<[A-Z_]+_1>"), clean)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgres://app:hunter22@db.example.com/x", "postgres://app:<PASSWORD_1>@db.example.com/x"),
        ("Authorization: Bearer " + LETTERS, "Authorization: Bearer <KEY_1>"),
        ("//registry.npmjs.org/:_authToken=" + LETTERS, "//registry.npmjs.org/:_authToken=<PASSWORD_1>"),
        ("DB_PASSWORD='s3cr3t-v4lue'", "DB_PASSWORD='<PASSWORD_1>'"),
        ('{\\"api_key\\": \\"abc123def456\\"}', '{\\"api_key\\": \\"<PASSWORD_1>\\"}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc/+=\nabc\n-----END RSA PRIVATE KEY-----\nend", "<PRIVATE_KEY_1>\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc/+=\nabc", "<PRIVATE_KEY_1>"),
    ],
)
def test_a_password_is_found_by_where_it_stands(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "order 1234567890123456 was placed at 1700000000000 (1700000000000000000 ns)",
        "4111111111111112 fails the check sum, 0.4111111111111111 is a fraction, 4111111111111111.5 too",
        "1 2 3 4 5 6 7 8 9 10 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "550e8400-e29b-41d4-a716-446655440000 and 4111111111111111-aaaa",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8, sha256:" + "0123456789abcdef" * 4,
        "max_tokens: 4096, token count=128000, keyword: banana2, primary_key=row-17",
        "password: required string, the secret: patience, pass the salt",
        "call +49 30 1234567 or meet @alice at 10:30, ratio 3:4@noon, a@b",
        "sk-learn-is-a-nice-library-for-learning and task-1234567890abcdefghijklmnop",
        "http://localhost:8080/path?x=1 and user@localhost",
        "basic authentication is explained, the bearer of this letter",
        "tool_call_id call_abc123DEF456ghi789JKL012",
    ],
)
def test_ordinary_numbers_ids_and_words_stay(text: str) -> None:
    assert redact(text) == text


@settings(deadline=None)
@given(st.uuids(), st.integers(0, 10**12), st.floats(allow_nan=False))
def test_no_uuid_and_no_shorter_number_is_taken_for_a_secret(identity: uuid.UUID, number: int, real: float) -> None:
    text = f"id {identity}, {identity.hex}, count {number}, value {real!r}"
    assert redact(text) == text


pieces = st.sampled_from(
    [*SECRETS.values(), "password=", "://", "@", ":", " ", "\n", "-", '"', "<KEY_1>", "a1", "<EMAIL_2>"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(pieces | st.text(max_size=6), max_size=12).map("".join))
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    item = REDACTOR.redact(record(once.replace("\x00", "")))
    assert REDACTOR.redact(item) == item


def test_a_secret_has_one_placeholder_in_a_record_and_another_secret_another() -> None:
    first, second = "a.one@example.com", "b.two@example.com"
    item = record(f"{first} and {second}, again {first}")
    item.outputs["tiny"] = Output(tool_calls=[ToolCall("send", {"to": [second], "cc": first})])
    clean = REDACTOR.redact(item)
    assert clean.messages[0].content == "<EMAIL_1> and <EMAIL_2>, again <EMAIL_1>"
    assert clean.outputs["tiny"].tool_calls == [ToolCall("send", {"to": ["<EMAIL_2>"], "cc": "<EMAIL_1>"})]
    assert item.messages[0].content.startswith(first)


def test_a_placeholder_that_stands_in_a_record_already_is_not_given_to_another_secret() -> None:
    assert redact("<EMAIL_1> wrote to c@example.com") == "<EMAIL_1> wrote to <EMAIL_2>"


def test_arguments_are_redacted_by_their_name_but_a_tools_schema_keeps_its_fields() -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string"}}, "password": "string"}
    item = record("log me in with correcthorse7", tools=[{"name": "login", "parameters": schema}])
    item.outputs["tiny"] = Output(tool_calls=[ToolCall("login", {"user": "u", "password": "correcthorse7"})])
    clean = REDACTOR.redact(item)
    assert clean.outputs["tiny"].tool_calls == [ToolCall("login", {"user": "u", "password": "<PASSWORD_1>"})]
    assert clean.tools == item.tools
    assert clean.messages[0].content == "log me in with <PASSWORD_1>"


def test_a_card_number_given_as_a_number_is_redacted() -> None:
    item = record("pay")
    item.outputs["tiny"] = Output(tool_calls=[ToolCall("pay", {"card": 4111111111111111, "order": 1234567890123456})])
    assert REDACTOR.redact(item).outputs["tiny"].tool_calls == [
        ToolCall("pay", {"card": "<CARD_1>", "order": 1234567890123456})
    ]


def test_ids_and_sessions_that_hold_a_secret_become_hashes_that_keep_records_apart() -> None:
    one, two = (REDACTOR.redact(record("q", f"{name}@example.com", session=f"{name}@example.com")) for name in "ab")
    assert one.id != two.id
    assert one.session != two.session
    assert "example" not in one.id + str(one.session)


def test_a_record_without_secrets_comes_back_itself() -> None:
    item = record("nothing to hide here")
    assert REDACTOR.redact(item) is item


def test_no_byte_of_a_secret_reaches_the_labels_or_the_report(tmp_path: Path) -> None:
    secrets = [*SECRETS.values(), "hunter2hunter2"]
    rows = []
    for i, secret in enumerate(secrets):
        rows.append(
            {
                "id": str(i),
                "messages": [
                    {"role": "system", "content": f"key: {secret}"},
                    {"role": "user", "content": [{"type": "text", "text": f"password={secret}"}]},
                ],
                "tools": [{"type": "function", "function": {"name": "f", "description": f"by {secret}"}}],
                "task": f"t {secret}" if i == 0 else "t",
                "outputs": {
                    "tiny": {"text": f"is {secret}", "error": f"refused: {secret}"},
                    "big": {"text": f"was {secret}", "tool_calls": [{"name": "f", "arguments": {"password": secret}}]},
                },
                "reference": {"answer": f"was {secret}"},
            }
        )
    log, out = tmp_path / "log.jsonl", tmp_path / "labels.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = AuditPlan(1.0, write=True)
    run = label_files([log], {"small": "tiny", "frontier": "big"}, out, redact=True, to_review=50, audit=plan)
    shown = [*run.doubtful, *run.to_review, *run.to_audit]
    written = out.read_text() + str(msgspec.to_builtins(shown))
    assert run.made == len(secrets)
    assert [secret for secret in secrets if secret in written] == []


def test_two_questions_that_differ_in_an_e_mail_only_are_two_questions() -> None:
    asked = [record(f"find the open orders of {name}@example.com in the shop", name) for name in ("ann", "bob")]
    run = label(asked, {"small": "tiny", "frontier": "big"}, redact=True)
    assert run.labels[0].messages == run.labels[1].messages
    assert run.labels[0].group != run.labels[1].group
    assert run.duplicates["exact"] == 0


@pytest.mark.parametrize("number", ["4111111111111111", "5555555555554444", "6011111111111117", "30569309025904"])
def test_card_numbers_are_told_by_their_check_sum(number: str) -> None:
    assert is_card_number(number)
    assert not is_card_number(number[:-1] + str((int(number[-1]) + 1) % 10))


def test_without_its_library_redaction_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("detect_secrets")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    with pytest.raises(MissingExtraError, match=r"detect_secrets.*pip install"):
        Redactor()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a" * 200_000,
            "1" * 200_000,
            "a@" * 100_000,
            "://a:" * 40_000,
            "//" * 50_000 + "/:_authToken=",
            "eyJ" * 60_000,
        ),
        *("-----BEGIN PRIVATE KEY-----" * 5_000, "password=" * 20_000, "a_" * 100_000 + "token=", "4111 " * 40_000),
        *("bearer " + " " * 200_000, ("a" * 63 + ".") * 3_000 + "@", "aws" * 60_000, "xoxb-" + "1-" * 20_000),
    ],
    ids=lambda text: text[:12],
)
def test_no_text_makes_a_pattern_take_long(text: str) -> None:
    began = time.process_time()
    redact(text)
    assert (
        time.process_time() - began < 20
    )  # the slowest takes a fraction of a second on an idle core; a quadratic one minutes
