"""Accelerations for dense models, most effective for small models on a CPU. Nothing else depends on them.

``engine.FusedEngine`` is the engine with all of them: decoder and vision tower in a few fused operations
(``decoder.py``, ``vision.py``), weights packed for the CPU's matrix products (``packed_linear.py``), and speculative
steps (``engine.py`` with the guesses of ``token_guesser.py``). Its answers equal those of the plain engine, token
for token. It is switched on in one place, ``backends/local.py``; the model option ``#fused=no`` switches it off.
"""
