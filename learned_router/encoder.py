"""Run the graph of an artifact: views become token ids, token ids become predictions. Knows no tiers or thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from learned_router.errors import ArtifactError
from learned_router.failures import describe
from learned_router.graph_file import check_graph
from learned_router.request_features import FEATURES
from learned_router.tokens import Tokens
from learned_router.view import AnswerViewSpec, View, ViewSpec

INPUTS = ("input_ids", "attention_mask", "features")
OUTPUTS = ("quality", "step", "ood")
# texts of views, of a few kilobytes each, whose tokens are remembered
SEGMENTS_KEPT: Final = 256
# as onnxruntime names element types
_INTEGER, _FLOAT = "tensor(int64)", "tensor(float)"


class Prediction(NamedTuple):
    """quality: float32 (n, n_tiers), calibrated, cheapest tier first. step: float32 (n, n_steps). ood: float32 (n,)."""

    quality: npt.NDArray[np.float32]
    step: npt.NDArray[np.float32]
    ood: npt.NDArray[np.float32]


def check_finite(prediction: Prediction) -> None:
    """Raises ValueError where a number is none: a distance that is not finite would pass for a small one."""
    for name, value in prediction._asdict().items():
        if not np.isfinite(value).all():
            raise ValueError(f"the graph predicts {name} that is not finite")


class Packer:
    """Views to token ids: special tokens between the segments, each within its budget. Shared with training."""

    def __init__(self, tokens: Tokens, spec: ViewSpec | AnswerViewSpec) -> None:
        """Raises ArtifactError when the tokenizer has no BERT-like start, separator and padding tokens."""
        self._tokens = tokens
        self._spec = spec
        # an agent sends the same tools and the same system prompt with every call
        self._often = lru_cache(maxsize=SEGMENTS_KEPT)(tokens.ids_of)
        self._start = tokens.special("[CLS]", "<s>")
        self._separator = tokens.special("[SEP]", "</s>")
        self.padding = tokens.special("[PAD]", "<pad>")

    @classmethod
    def load(cls, path: Path, spec: ViewSpec | AnswerViewSpec) -> Packer:
        return cls.parse(path.read_bytes(), str(path), spec)

    @classmethod
    def parse(cls, content: bytes, name: str, spec: ViewSpec | AnswerViewSpec) -> Packer:
        """From the bytes of a ``tokenizer.json``. name: of the file. Raises ArtifactError when they are none."""
        return cls(Tokens.parse(content, name), spec)

    def with_spec(self, spec: ViewSpec | AnswerViewSpec) -> Packer:
        """One for views of another kind, by the same tokenizer, which takes longer to read than all else."""
        return Packer(self._tokens, spec)

    def pack(self, view: View) -> tuple[list[int], bool]:
        """Token ids of one view, at most ``spec.max_tokens``, and whether anything was left out."""
        present = [index for index, segment in enumerate(view.segments) if segment]
        last_index = len(view.segments) - 1
        parts = {
            index: self._tokens.ids_of(view.segments[index])
            if index == last_index
            else self._often(view.segments[index])
            for index in present
        }
        room = self._spec.max_tokens - 1 - len(parts)  # the start token and one separator a part
        last = parts.get(last_index, [])
        budgets = [min(len(parts.get(i, ())), budget) for i, budget in enumerate(self._spec.budgets)]
        spare = room - sum(budgets) - len(last)
        if spare > 0 and len(parts.get(1, ())) > budgets[1]:  # a short message leaves its room to the tools
            budgets[1] = min(len(parts[1]), budgets[1] + spare)
        left_for_last = room - sum(budgets)
        cut = view.cut or len(last) > left_for_last
        if len(last) > left_for_last:
            head = int(left_for_last * self._spec.head_share)
            last = last[:head] + last[len(last) - (left_for_last - head) :]
        ids = [self._start]
        for index in present:
            segment = last if index == last_index else parts[index][: budgets[index]]
            ids += segment
            ids.append(self._separator)
        return ids, cut

    def longest(self) -> list[int]:
        """As many token ids as a view may have, each the last of the vocabulary."""
        return [self._tokens.size - 1] * self._spec.max_tokens

    def batch(
        self, packed: Sequence[Sequence[int]], multiple_of: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Token ids and attention mask, int64 (n, width), padded on the right to the next multiple of a number."""
        width = -(-max(map(len, packed)) // multiple_of) * multiple_of
        ids = np.full((len(packed), width), self.padding, dtype=np.int64)
        mask = np.zeros((len(packed), width), dtype=np.int64)
        for row, tokens in enumerate(packed):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask


class Encoder:
    """One loaded graph. Thread-safe: an onnxruntime session may be run from several threads at once.

    tiers, steps: how many of each the graph's outputs hold.
    """

    def __init__(
        self,
        graph: bytes,
        packer: Packer,
        *,
        n_features: int = len(FEATURES),
        name: str = "model.onnx",
        threads: int = 1,
    ) -> None:
        """graph: the bytes of the file ``name``. n_features: how many a view of the graph's kind has.

        Raises ArtifactError when it is no graph of the design's contract.
        """
        self._name, self._n_features = name, n_features
        check_graph(graph, name)
        self._threads = threads
        try:
            self._session = _open_session(graph, threads)
            # of many requests each thread takes some: halves of one row would wait for each other all the time
            self._session_of_one = self._session if threads == 1 else _open_session(graph, 1)
            graph_inputs, graph_outputs = self._session.get_inputs(), self._session.get_outputs()
            found = tuple(i.name for i in graph_inputs), tuple(o.name for o in graph_outputs)
        except Exception as error:  # onnxruntime has no public base class for what it raises here
            raise ArtifactError(f"{name} cannot be loaded ({describe(error)}); export the artifact again") from None
        if (set(found[0]), set(found[1])) != (set(INPUTS), set(OUTPUTS)):
            raise ArtifactError(
                f"{name} has inputs and outputs {str(found)[:200]}; it must have {INPUTS} and {OUTPUTS}; "
                "export the artifact again"
            )
        for part in (*self._session.get_inputs(), *self._session.get_outputs()):
            wanted = _INTEGER if part.name in INPUTS[:2] else _FLOAT
            if part.type != wanted:
                raise ArtifactError(f"{name}: {part.name} is {part.type}, not {wanted}; export the artifact again")
        self.packer = packer
        self.tiers, self.steps = self._try()

    def _try(self) -> tuple[int, int]:
        """Tiers and steps that it predicts, of the emptiest and the longest view there is, so that it is refused now."""
        view = View((), (0.0,) * self._n_features, False)
        try:
            self._run(self.packer.longest(), view)  # more positions or a larger vocabulary than the graph's
            found = self.predict([view])[0]
            (_, tiers), (_, steps), (_,) = (output.shape for output in found)
        except Exception as error:  # onnxruntime again; or outputs of other ranks
            raise ArtifactError(
                f"{self._name} cannot decide a request ({describe(error)}); export the artifact again"
            ) from None
        if not all(np.isfinite(output).all() for output in found):
            raise ArtifactError(f"{self._name} predicts numbers that are not finite; export the artifact again")
        return tiers, steps

    def predict(self, views: Sequence[View]) -> tuple[Prediction, list[bool]]:
        """Predictions for any number of views, in order, and whether each view was cut."""
        if not views:
            shapes: tuple[tuple[int, ...], ...] = ((0, self.tiers), (0, self.steps), (0,))
            return Prediction(*(np.zeros(shape, dtype=np.float32) for shape in shapes)), []
        parts = min(self._threads, len(views))
        if parts == 1:
            seen = self._see(views, self._session)
        else:
            seen = [_NOTHING] * len(views)
            with ThreadPoolExecutor(parts) as pool:
                of_parts = pool.map(lambda part: self._see(views[part::parts], self._session_of_one), range(parts))
                for part, found in enumerate(of_parts):
                    seen[part::parts] = found
        quality, step, ood = (np.concatenate(column) for column in zip(*(outputs for outputs, _ in seen), strict=True))
        return Prediction(quality, step, ood), [cut for _, cut in seen]

    def _see(self, views: Sequence[View], session: ort.InferenceSession) -> list[_Seen]:
        # a row a run: int8 activations are scaled by the largest value in a batch, so a request's quality would depend
        # on what it was asked with (0.03 apart, measured), and one thread gains nothing from padding rows together
        found = []
        for view in views:
            ids, cut = self.packer.pack(view)
            found.append((self._run(ids, view, session), cut))
        return found

    def _run(
        self, ids: Sequence[int], view: View, session: ort.InferenceSession | None = None
    ) -> list[npt.NDArray[np.float32]]:
        tokens = np.array([ids], dtype=np.int64)
        features = np.array([view.features], dtype=np.float32)
        inputs = zip(INPUTS, (tokens, np.ones_like(tokens), features), strict=True)
        found: list[npt.NDArray[np.float32]] = (session or self._session).run(OUTPUTS, dict(inputs))
        return found


# of one row: the graph's outputs, and whether its view was cut
_Seen = tuple[list[npt.NDArray[np.float32]], bool]
_NOTHING: Final[_Seen] = ([], False)


def _open_session(graph: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # without fallback: there is no other provider, and it prints
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    # it keeps the file's bytes, as many again as the graph takes, for a change of providers that never comes
    session._model_bytes = None
    return session
