"""The engine with fused forward passes and speculative steps.

A decoding step costs nearly as much for one token as for several, because reading the weights dominates. So when one
prompt is answered alone, the tokens that probably follow (``token_guesser.py``) are read together with the certain
ones, in one forward pass. The logits after each guessed token then show whether the model would have chosen the next
guess itself:

    read       {"name": "  pick  ", "arguments": {"at"      certain | guess, guess, guess
    chosen                 pick  ",  "parameters            the first two guesses stand, the third is taken back

Guesses stand as far as they are exactly what the model chooses; the keys and values of the rest are dropped from the
cache. This is speculative decoding (Leviathan et al. 2023, arXiv:2211.17192) with a table in place of a draft model.
Guesses change the width of a step and with it the last bits of its sums, so close calls are watched here as in a batch:
an answer that meets one is generated again without guesses. Sampled answers, batches and lower precisions are not
guessed.
"""

from __future__ import annotations

from typing import Any

import torch

from qwenarm.mind.families import GREEDY_SAMPLING, Sampling
from qwenarm.mind.inference.engine import DecodingBatch, Engine, GenerationRequest
from qwenarm.mind.inference.fused.decoder import FusedDecoder
from qwenarm.mind.inference.fused.token_guesser import TokenGuesser

TASK_TOKENS = 64
"""Number of the last tokens of a prompt, which contain the task; guesses prefer words that occur there."""


class FusedEngine(Engine):
    """An engine for dense models, with speculative steps for single greedy prompts in float32."""

    def __init__(self, model: Any, sampling: Sampling = GREEDY_SAMPLING) -> None:
        super().__init__(model, sampling, FusedDecoder(model))
        self.guesser = TokenGuesser()

    @staticmethod
    def supports(model: Any) -> bool:
        """Returns whether a model can run this way."""
        return FusedDecoder.supports(model)

    def generate(self, requests: list[GenerationRequest]) -> None:
        super().generate(requests)
        for request in requests:
            if self.image_token not in request.answer.tokens:  # as a guess, it would be read as an image
                self.guesser.learn(request.tokens[-len(request.answer.tokens) - 2 :])

    def _generate_group(self, rows: list[GenerationRequest], prefix: int) -> None:
        if len(rows) > 1 or not self.exact:
            return super()._generate_group(rows, prefix)
        row, task = rows[0], set(rows[0].ids[-TASK_TOKENS:])
        guess = self.guesser.guess(row.tokens, task)
        batch, logits = self._prefill(rows, [[*row.tokens, *guess]], prefix, 1 + len(guess))
        while True:
            self._choose_and_verify(batch, logits, guess)
            if not row.unfinished:
                return None
            guess = self.guesser.guess(row.tokens, task)
            batch.queues[0] += guess
            logits = self._step(batch, 1 + len(guess))

    def _choose_and_verify(self, batch: DecodingBatch, logits: torch.Tensor, guess: list[int]) -> None:
        """Chooses tokens as long as the guess is confirmed, and takes back the rest of the guess.

        Args:
            batch: One row, which has read the guess.
            logits: (1, 1 + guessed, vocabulary), after the last certain token and after each guessed one.
            guess: The guessed tokens.
        """
        right = 0
        while True:
            self._choose(batch, logits[:, right], watch_close_calls=True)
            chosen = batch.queues[0]  # the choice, and what the grammar forces after it
            same = _common_start(chosen, guess[right:])
            right += same
            batch.queues[0] = chosen[same:]
            if batch.queues[0] or not batch.rows[0].unfinished:
                break
        batch.cache.drop_last(len(guess) - right)
        batch.next_position = batch.next_position - (len(guess) - right)


def _common_start(first: list[int], second: list[int]) -> int:
    """Returns the number of tokens at the beginning that both share."""
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return same
