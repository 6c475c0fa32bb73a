"""Stock a shelf: orders in words ("two green things to the lower left"), swaps, making room, and what is out of stock.

The shelf has two levels with two bays each. Everything that is named is on the table or on the shelf, except at level
3, where an order may name something that is not there: then the rest has to be done, and what is missing to be said.
"""

from qwenarm.tasks.shelf.task import TASK as TASK
