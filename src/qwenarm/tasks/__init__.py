"""What is wanted of the arm. One file a task: how its scenes are made, when it is fulfilled, how it could be solved.

``oracle_point`` and ``oracle_call`` turn a solver's symbolic steps into calls with image points, from privileged state.
"""
