"""Stock a shelf: orders in words ("two green things to the lower left"), swaps, making room, and items out of stock.

The shelf has two levels with two bays each. Everything that an order names is on the table or on the shelf, except
that at level 3 an item may be missing. Then the rest has to be done, and the missing item has to be reported.
"""

from qwenarm.tasks.shelf.task import TASK as TASK
