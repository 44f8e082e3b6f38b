"""Reading paired logs and labels: what is kept, what is left out, and under which name."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training import records
from learned_router.training.records import Label, Output, Skipped, read_labels, read_records, write_jsonl


def record(identity: str = "a", **changes: Any) -> dict[str, Any]:
    return {"id": identity, "messages": [{"role": "user", "content": "hi"}], "outputs": {"m": {"text": "x"}}} | changes


def read_bytes(tmp_path: Path, content: bytes, name: str = "log.jsonl") -> tuple[list[Any], Skipped]:
    path = tmp_path / name
    path.write_bytes(content)
    skipped = Skipped()
    return list(read_records([path], skipped)), skipped


def read_line(tmp_path: Path, line: str | bytes) -> tuple[list[Any], Skipped]:
    """Reads ``line`` between two good records."""
    bad = line.encode() if isinstance(line, str) else line
    content = json.dumps(record("first")).encode() + b"\n" + bad + b"\n" + json.dumps(record("last")).encode()
    return read_bytes(tmp_path, content)


BAD_LINES = {
    "not_json": ["{", "hello", b"\xff\xfe\x00", b"\x00\x00", '{"id": "a", "messages": [' + "9" * 5000 + "]}"],
    "not_an_object": ["[]", "5", '"text"', "null"],
    "missing_field": [
        json.dumps({"messages": record()["messages"], "outputs": {}}),
        json.dumps({"id": "x", "outputs": {"m": {}}}),
        json.dumps({"id": "x", "messages": [{"content": "no role"}], "outputs": {"m": {}}}),
        json.dumps(record(outputs={"m": {"tool_calls": [{"arguments": {}}]}})),
    ],
    "wrong_type": [
        json.dumps(record(id=5)),
        json.dumps(record(messages="hi")),
        json.dumps(record(messages=[{"role": "user", "content": 5}])),
        json.dumps(record(outputs=[])),
        json.dumps(record(outputs={"m": "text"})),
        json.dumps(record(outputs={"m": {"text": "x", "score": "1"}})),
        json.dumps(record(outputs={"m": {"tool_calls": [{"function": {"arguments": "{}"}}]}})),
    ],
    "no_messages": [json.dumps(record(messages=[]))],
    "no_outputs": [json.dumps(record(outputs={}))],
    "unknown_step": [json.dumps(record(step="juggle"))],
    "duplicate_id": [json.dumps(record("first"))],
    "too_deep": ['{"id": "deep", "messages": ' + "[" * 100_000 + "]" * 100_000 + "}"],
}


@pytest.mark.parametrize(("reason", "line"), [(reason, line) for reason, lines in BAD_LINES.items() for line in lines])
def test_a_bad_line_is_counted_under_its_reason_with_its_place_and_the_others_are_kept(
    tmp_path: Path, reason: str, line: str | bytes
) -> None:
    records, skipped = read_line(tmp_path, line)
    assert [item.id for item in records] == ["first", "last"]
    assert dict(skipped.counts) == {reason: 1}
    assert skipped.places[reason][0].startswith("log.jsonl:2: ")


@pytest.mark.parametrize("line", ["", "   ", "\t\r"])
def test_blank_lines_are_no_records_and_no_complaint(tmp_path: Path, line: str) -> None:
    records, skipped = read_line(tmp_path, line)
    assert len(records) == 2
    assert skipped.total == 0


def test_lone_surrogates_are_replaced_so_that_the_record_can_be_written_again(tmp_path: Path) -> None:
    line = '{"id": "s", "messages": [{"role": "user", "content": "a\\ud800b"}], "outputs": {"m": {"text": "\\udfff"}}}'
    records, skipped = read_line(tmp_path, line)
    assert skipped.total == 0
    assert records[1].messages[0].content == "a?b"
    assert write_jsonl(tmp_path / "again.jsonl", records) == 3
    assert list(read_records([tmp_path / "again.jsonl"], Skipped())) == records


def test_an_escaped_nul_is_text_like_any_other(tmp_path: Path) -> None:
    records, _ = read_line(tmp_path, json.dumps(record("nul", messages=[{"role": "user", "content": "a\0b"}])))
    assert records[1].messages[0].content == "a\0b"


def test_a_byte_order_mark_does_not_cost_the_first_record(tmp_path: Path) -> None:
    records, skipped = read_bytes(tmp_path, b"\xef\xbb\xbf" + json.dumps(record()).encode())
    assert [item.id for item in records] == ["a"]
    assert skipped.total == 0


def test_openai_tool_calls_become_flat_and_their_arguments_are_parsed(tmp_path: Path) -> None:
    good = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    torn = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"x": '}}
    records, skipped = read_line(tmp_path, json.dumps(record("calls", outputs={"m": {"tool_calls": [good, torn]}})))
    first, second = records[1].outputs["m"].tool_calls
    assert (first.name, first.arguments) == ("f", {"x": 1})
    assert (second.name, second.arguments) == ("g", '{"x": ')
    assert skipped.total == 0


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    records, skipped = read_line(tmp_path, json.dumps(record("more", licence="MIT", extra={"deep": [1]})))
    assert len(records) == 3
    assert skipped.total == 0


def test_of_many_bad_lines_the_first_three_places_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    _, skipped = read_bytes(tmp_path, b"{\n" * 10)
    assert skipped.counts["not_json"] == 10
    assert [place.split(": ")[0] for place in skipped.places["not_json"]] == [f"log.jsonl:{n}" for n in (1, 2, 3)]


def varied_lines(count: int) -> bytes:
    """Records that do not compress away, so that a cut falls amid them."""
    texts = [" ".join(str((i * 7919 + k * 104729) % 99991) for k in range(40)) for i in range(count)]
    return b"".join(json.dumps(record(str(i), task=text)).encode() + b"\n" for i, text in enumerate(texts))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_gzip_that_breaks_off_keeps_every_whole_record_before_the_break(tmp_path: Path, share: float) -> None:
    whole = gzip.compress(varied_lines(2000))
    records, skipped = read_bytes(tmp_path, whole[: int(len(whole) * share)], "log.jsonl.gz")
    assert [item.id for item in records] == [str(i) for i in range(len(records))]
    assert len(records) > 2000 * share * 0.8
    assert skipped.counts == {"file_breaks_off": 1}
    assert skipped.places["file_breaks_off"][0].startswith(f"log.jsonl.gz:{len(records) + 1}: ")


def test_a_gzip_damaged_in_the_middle_keeps_the_records_before_the_damage(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(varied_lines(2000)))
    middle = len(whole) // 2
    whole[middle : middle + 200] = b"\xff" * 200
    records, skipped = read_bytes(tmp_path, bytes(whole), "log.jsonl.gz")
    assert 0 < len(records) < 2000
    assert skipped.counts["file_breaks_off"] == 1


def test_a_gzip_of_several_members_with_padding_is_read_through(tmp_path: Path) -> None:
    parts = [gzip.compress(json.dumps(record(name)).encode() + b"\n") for name in "abc"]
    records, skipped = read_bytes(tmp_path, parts[0] + parts[1] + b"\0" * 512 + parts[2], "log.jsonl.gz")
    assert [item.id for item in records] == ["a", "b", "c"]
    assert skipped.total == 0


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    assert len(read_bytes(tmp_path, gzip.compress(json.dumps(record()).encode()), "log.jsonl")[0]) == 1
    assert len(read_bytes(tmp_path, json.dumps(record()).encode(), "log.jsonl.gz")[0]) == 1


@pytest.mark.parametrize("content", [b"\x1f\x8b", b"\x1f\x8b" + b"rubbish" * 9])
def test_a_file_that_only_looks_like_gzip_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"log\.gz: cannot be unzipped"):
        read_bytes(tmp_path, content, "log.gz")


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"")[0] == []


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl: no such file"):
        list(read_records([tmp_path / "nowhere.jsonl"], Skipped()))
    with pytest.raises(InputError, match="a folder"):
        list(read_records([tmp_path], Skipped()))


def test_the_same_id_in_a_second_file_is_a_duplicate(tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).write_text(json.dumps(record()))
    skipped = Skipped()
    assert len(list(read_records([tmp_path / "one.jsonl", tmp_path / "two.jsonl"], skipped))) == 1
    assert skipped.places["duplicate_id"][0].startswith("two.jsonl:1: ")


@pytest.mark.parametrize(
    ("changes", "reason", "told"),
    [
        ({"input_tokens": 10**400}, "wrong_type", "$.outputs[...].input_tokens"),
        ({"output_tokens": -(10**400)}, "wrong_type", "$.outputs[...].output_tokens"),
        ({"score": 10**400}, "wrong_type", "$.outputs[...].score"),
        ({"logprobs": {"mean": float("nan"), "least": -1.0}}, "wrong_type", "$.outputs[...].logprobs.mean"),
    ],
)
def test_a_number_that_no_float_holds_is_skipped_by_the_name_of_its_field(
    tmp_path: Path, changes: dict[str, Any], reason: str, told: str
) -> None:
    items, skipped = read_bytes(tmp_path, json.dumps(record(outputs={"m": {"text": "x"} | changes})).encode())
    assert items == []
    assert dict(skipped.counts) == {reason: 1}
    assert told in skipped.places[reason][0]


def test_nan_of_a_log_is_null_and_what_is_written_of_it_is_read_again(tmp_path: Path) -> None:
    call = {"name": "f", "arguments": {"x": float("nan"), "y": float("inf")}}
    odd = record(outputs={"m": {"text": "x", "score": float("nan"), "tool_calls": [call]}})
    items, skipped = read_bytes(tmp_path, json.dumps(odd).encode())
    assert not skipped.total
    [output] = items[0].outputs.values()
    assert output.score is None
    assert output.tool_calls[0].arguments == {"x": None, "y": None}
    write_jsonl(tmp_path / "again.jsonl", items)
    assert list(read_records([tmp_path / "again.jsonl"], Skipped())) == items


@pytest.mark.parametrize("beyond", [0, 1, 5_000_000])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_line_of_gigabytes_is_skipped_and_never_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int, zipped: bool
) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 100_000)
    good = json.dumps(record(id="good")).encode()
    # the limit holds of the line with its end in a plain file, where that is what is read
    long = b" " * (100_000 + beyond - (not zipped))
    content = b"\n".join((long, good, long, good.replace(b"good", b"other")))
    path = tmp_path / "log.jsonl"
    path.write_bytes(gzip.compress(content) if zipped else content)
    skipped = Skipped()
    tracemalloc.start()
    found = [item.id for item in read_records([path], skipped)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["good", "other"]
    assert dict(skipped.counts) == ({"line_too_long": 2} if beyond else {})
    assert peak < 2_000_000


def label(**changes: Any) -> dict[str, Any]:
    whole = {"id": "a", "messages": record()["messages"], "quality": {"small": 0.5, "frontier": 1.0}}
    return whole | {"models": {"small": "s", "frontier": "f"}, "grader": "gold"} | changes


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("quality_out_of_range", {"quality": {"small": 1.4, "frontier": 1.0}}),
        ("quality_out_of_range", {"quality": {"small": -0.1, "frontier": 1.0}}),
        # NaN and infinity, which JSON has not, are read as null
        ("wrong_type", {"quality": {"small": float("nan"), "frontier": 1.0}}),
        ("wrong_type", {"weight": float("inf")}),
        ("too_few_tiers", {"quality": {"small": 1.0}}),
        ("certainty_out_of_range", {"certainty": 2}),
        ("weight_out_of_range", {"weight": -1}),
        ("unknown_step", {"step": "juggle"}),
        ("no_messages", {"messages": []}),
    ],
)
def test_a_label_out_of_its_range_is_left_out_by_reason(tmp_path: Path, reason: str, changes: dict[str, Any]) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(label(**changes)) + "\n" + json.dumps(label(id="good")))
    skipped = Skipped()
    assert [item.id for item in read_labels([path], skipped)] == ["good"]
    assert dict(skipped.counts) == {reason: 1}


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_written_labels_read_back_equal_and_the_same_labels_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    item = Label(
        id="é\0",
        messages=[Message(role="user", content="x\ny")],
        quality={"small": 0.25, "frontier": 1.0},
        models={"small": "s", "frontier": "f"},
        grader="gold",
        outputs={"small": Output(text="t")},
    )
    assert write_jsonl(tmp_path / name, [item]) == 1
    first = (tmp_path / name).read_bytes()
    assert list(read_labels([tmp_path / name], Skipped())) == [item]
    write_jsonl(tmp_path / name, [item])
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]
