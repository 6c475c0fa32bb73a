"""Remember what is out of sight: covers settle over objects, some change places together with what is under them, and
only then the request comes.

Either a covered object is to be brought somewhere; then its own cover may be lifted and no other. Or a question is to
be answered with "say": what a cover hides, or how many objects of a shape all covers hide; then nothing may be touched.
Until the request comes, only looking helps: it comes when the last cover has settled, and nothing counts if anything
was moved before that.
"""

from qwenarm.tasks.recall.task import TASK as TASK
