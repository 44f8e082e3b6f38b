"""Whether the bytes of an ONNX file hold all that they need. Knows the wire format of protobuf; runs nothing, opens no file.

onnxruntime, given bytes, still opens what a tensor of a node names outside them, relative to the working folder (1.32:
``Constant`` with ``../file`` was read), so it must not see such a graph at all.
"""

from __future__ import annotations

from typing import Final

from learned_router.errors import ArtifactError

# The fields that may lead to a tensor, by message, and what they hold; from onnx.proto (IR version 10)
_FIELDS: Final = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; groups, 3 and 4, are no part of onnx.proto
# What onnxruntime takes, wherever it stands there, for a file of its own format and not of ONNX
_OTHER_FORMAT: Final = b"ORTM"
DEEPEST: Final = 100  # messages in each other, as protobuf itself allows


def check_graph(content: bytes, name: str) -> None:
    """Raises ArtifactError when it is no ONNX file, or keeps numbers in another file. name: of the file, for messages."""
    try:
        external = _finds_external(memoryview(content))
    except (ValueError, IndexError):
        raise ArtifactError(f"{name} cannot be loaded (it is no ONNX graph); export the artifact again") from None
    if external:
        raise ArtifactError(
            f"{name} keeps tensors in another file, which an artifact never does; nothing was opened. "
            "Export the artifact again"
        )


def _finds_external(content: memoryview) -> bool:
    """Whether any tensor of the model does. Raises ValueError or IndexError where the bytes are no messages."""
    if not content or bytes(content[4:8]) == _OTHER_FORMAT:
        raise ValueError("not ONNX")
    todo = [("model", 0, len(content), 1)]  # message, from, to, depth
    while todo:
        message, position, end, depth = todo.pop()
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        inner = _FIELDS[message]
        while position < end:
            key, position = _varint(content, position)
            field, wire = key >> 3, key & 7
            length = 0
            if field == 0:
                raise ValueError("no field")
            if wire == _VARINT:
                value, position = _varint(content, position)
                if message == "tensor" and field == _DATA_LOCATION and value:
                    return True
            elif wire == _BYTES:
                length, position = _varint(content, position)
                if message == "tensor" and field == _EXTERNAL_DATA:
                    return True
                if field in inner:
                    todo.append((inner[field], position, position + length, depth + 1))
            elif wire in (_FIXED64, _FIXED32):
                length = 8 if wire == _FIXED64 else 4
            else:
                raise ValueError("a group, or no wire type at all")
            position += length
            if position > end:
                raise ValueError("a field is longer than what holds it")
    return False


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
