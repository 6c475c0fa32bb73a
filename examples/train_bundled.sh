#!/bin/sh
# The second edition of the bundled checkpoint: all twelve families, from the weights that ship now, by public commands.
#
#   sh examples/train_bundled.sh            # everything; stop it at any time, the same command goes on
#   QUICK=--quick sh examples/train_bundled.sh   # each stage in miniature
#
# On one core of an x86 server CPU (AVX-512 with bfloat16) the oracle's decisions come at 1,300 a minute and 4.4 kB each,
# and are learned from at 22 a second. docs/training.md tells how far this recipe has been taken.
set -e
OUT=${OUT:-runs/bundled}
WORKERS=${WORKERS:-2}
ALL=put,stack,sort,parcels,inspect,shelf,tidy,deliver,recall,rearrange,long,refuse
AXES=words:1,look:2,light:2,layout:2,distractors:2,slip:2,slip:3,words:2,camera:1
collect() { qwenarm collect --task $ALL --workers "$WORKERS" --out "$OUT/data" $QUICK "$@"; }

# 1 Level 1, plain and with mistakes; then levels 2 and 3, and level 1 perturbed. The oracle succeeds in 99 of 100.
collect --level 1 --episodes 400
collect --level 1 --episodes 275 --first-seed 20000 --mistakes 0.12
collect --level 2 --episodes 150 --first-seed 40000
collect --level 2 --episodes 100 --first-seed 60000 --mistakes 0.12
collect --level 3 --episodes 50 --first-seed 80000
collect --level 1 --episodes 50 --first-seed 100000 --perturbations $AXES
qwenarm collect --task $ALL --level 1,2 --episodes 12 --first-seed 900000 --out "$OUT/held-out" $QUICK
qwenarm data check "$OUT/data" "$OUT/held-out"

# 2 Fine-tuning, with rehearsal of what the model can do already.
qwenarm train sft --data "$OUT/data" --held-out "$OUT/held-out" --steps 3000 --mix put=1.3,stack=1.3,sort=1.6 \
    --processes "$WORKERS" --out "$OUT/sft" $QUICK

# 3 Its own decisions on new scenes, put right; and from there on.
qwenarm collect --task $ALL --policy vlm --model "$OUT/sft/checkpoint" --episodes 100 --first-seed 200000 \
    --workers "$WORKERS" --out "$OUT/data" $QUICK
qwenarm train sft --data "$OUT/data" --held-out "$OUT/held-out" --model "$OUT/sft/checkpoint" --steps 1500 \
    --mix put=1.3,stack=1.3,sort=1.6 --processes "$WORKERS" --out "$OUT/sft-2" $QUICK

# 4 Measured on seeds that no training uses. It is shipped only if put, stack and sort are no worse than 100, 98 and 96 %.
qwenarm eval --task $ALL --seeds 100 --model "$OUT/sft-2/checkpoint" --workers "$WORKERS" --out "$OUT/eval"
