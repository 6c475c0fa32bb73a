"""Accelerations for dense models, worth most where a model is small and runs on a CPU. Nothing else depends on them.

``engine.FusedEngine`` is the engine with all of them: the decoder and the vision tower in few, fused operations
(``decoder.py``, ``vision.py``), weights packed for the CPU's matrix products (``packed_linear.py``), and speculative
steps (``engine.py`` with the guesses of ``token_guesser.py``). Answers are those of the plain engine, token for token.
They are switched on in one place, ``backends/local.py``; the model option ``#fused=no`` switches them off.
"""
