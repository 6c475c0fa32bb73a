"""Sort parcels by rules in words: "fragile parcels into the blue bowl, the rest by colour".

A parcel has a colour, a letter, sign or weight on top, and a band or a crack around it. Places have colours and
shapes, or letters on their floors. From level 3 on, the parcels come on a belt that is faster at each level. It
stops while the hand is above it, and parcels that reach its end are lost.
"""

from qwenarm.tasks.parcels.task import TASK as TASK
