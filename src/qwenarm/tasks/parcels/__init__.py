"""Sort parcels by rules in words: "fragile parcels into the blue bowl, the rest by colour".

A parcel has a colour, a letter, sign or weight on its upper side, and a band or a crack around it. Places have colours
and shapes, or letters on their floors. From level 3 on the parcels come on a belt, faster from level to level; it
stands still while the hand is over it, and loses at its end what nobody has taken.
"""

from qwenarm.tasks.parcels.task import TASK as TASK
