"""Remember what is out of sight: covers settle over things, change places with what is under them, and then it is told
what is wanted.

Either a covered thing is to be brought somewhere, for which its own cover may be lifted and no other, or a question is
to be answered with "say": what a cover hides, or how many of a kind all hide, and then nothing may be touched. Until it
is told, only looking helps: the request comes when the last cover has settled, and nothing counts if anything was moved
before that.
"""

from qwenarm.tasks.recall.task import TASK as TASK
