#!/bin/sh
# How the bundled checkpoint, third edition, was made from the weights of the second, by public commands. On one core of an
# x86 server CPU (AVX-512 with bfloat16): 30 CPU minutes of collecting, 95 of learning. The shipped checkpoint was one run
# of 800 steps that was stopped and given more data at steps 200, 300 and 550; here it is two runs.
#
#   sh examples/train_bundled.sh            # everything; stop it at any time, the same command goes on
#   QUICK=--quick sh examples/train_bundled.sh   # each stage in miniature
set -e
OUT=${OUT:-runs/bundled}
WORKERS=${WORKERS:-2}
ALL=put,stack,sort,parcels,inspect,shelf,tidy,deliver,recall,rearrange,long,refuse
MIX=put=1.3,sort=1.4,rearrange=1.6,long=1.8,inspect=1.8,recall=1.6,parcels=1.7,shelf=1.3
collect() { qwenarm collect --workers "$WORKERS" --out "$OUT/data" $QUICK "$@"; }

# 1 Demonstrations: 21,533 decisions. An eighth of the calls of the second collection goes wrong on purpose.
collect --task $ALL --level 1 --episodes 100
collect --task $ALL --level 1 --episodes 75 --first-seed 20000 --mistakes 0.12
collect --task $ALL --level 2 --episodes 50 --first-seed 40000
collect --task $ALL --level 1 --episodes 25 --first-seed 100000 --perturbations words:1
collect --task $ALL --level 1 --episodes 25 --first-seed 60000 --altitude plan
collect --task inspect,parcels,recall,rearrange,long,tidy --level 1 --episodes 40 --first-seed 300000
qwenarm collect --task $ALL --level 1,2 --episodes 6 --first-seed 900000 --workers "$WORKERS" --out "$OUT/held-out" $QUICK
qwenarm data check "$OUT/data" "$OUT/held-out"

# 2 Fine-tuning from the second edition's weights. Exact answers on held-out decisions: docs/training.md.
SECOND=${SECOND:-bundled} # the second edition: git show 7dc48cd, folder src/qwenarm/assets/bundled
qwenarm train sft --data "$OUT/data" --held-out "$OUT/held-out" --model "$SECOND" --steps 550 --mix $MIX \
    --out "$OUT/sft" $QUICK

# 3 Its own mistakes, put right by the oracle: 1,470 decisions. At this point it was at 69 % over all families.
collect --task long,rearrange,inspect,parcels,recall,shelf,sort --level 1 --episodes 36 --first-seed 700000 \
    --policy vlm --model "$OUT/sft/checkpoint"
qwenarm train sft --data "$OUT/data" --held-out "$OUT/held-out" --model "$OUT/sft/checkpoint" --steps 250 --mix $MIX \
    --out "$OUT/sft-2" $QUICK

# 4 Measured on seeds that no training uses.
qwenarm eval --task $ALL --seeds 100 --model "$OUT/sft-2/checkpoint" --workers "$WORKERS" --out "$OUT/eval"
