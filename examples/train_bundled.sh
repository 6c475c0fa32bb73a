#!/bin/sh
# How the bundled checkpoint, ninth edition, was made from the weights of the eighth, by public commands. On two cores of
# an x86 server CPU (AVX-512 with bfloat16): about 25 minutes of collecting, 7 of the vision tower alone, and 50 of
# learning. (How the editions before were made: this file at commits e835195 and 41c466f.)
#
#   sh examples/train_bundled.sh                 # everything; stop it at any time, the same command goes on
#   QUICK=--quick sh examples/train_bundled.sh   # each stage in miniature, to see that it works
set -e
cd "$(dirname "$0")" # where shuffled.py is
OUT=${OUT:-../runs/bundled}
WORKERS=${WORKERS:-2}
EIGHTH=${EIGHTH:-bundled} # git show e835195, folder src/qwenarm/assets/bundled
SEEDS=${QUICK:+1}
ALL=put,stack,sort,parcels,inspect,shelf,tidy,deliver,recall,rearrange,long,refuse
collect() { qwenarm collect --workers "$WORKERS" $QUICK "$@"; }

# 1 Demonstrations of scenes that no edition has seen: about 26,000 decisions.
collect --out "$OUT/data" --task parcels,recall --episodes 500 --first-seed 310000
collect --out "$OUT/data" --task inspect,refuse --episodes 500 --first-seed 310000
collect --out "$OUT/data" --task put,stack,sort --episodes 250 --first-seed 310000
collect --out "$OUT/data" --task long,rearrange,shelf,tidy --episodes 250 --first-seed 310000
collect --out "$OUT/data" --task free_words --episodes 1000 --first-seed 310000
collect --out "$OUT/held-out" --task $ALL,free_words --level 1,2 --episodes 6 --first-seed 900000

# 2 An eye for marks and shapes: 33,600 pictures of shuffled things, then 250 steps of the vision tower alone.
collect --out "$OUT/shuffled" --task shuffled:TASK --level 1,2,3,4 --episodes 600 --first-seed 320000
qwenarm train sft --data "$OUT/shuffled" "$OUT/data" --model "$EIGHTH" --steps 250 --eye-steps 250 --processes "$WORKERS" \
    --mix shuffled:TASK=7,put=0.6,stack=0.3,sort=0.5,rearrange=0.6,long=0.6,inspect=1,recall=0.5,parcels=1.5,shelf=0.6,tidy=0.6,refuse=0.3,free_words=0.6 \
    --out "$OUT/eye" $QUICK

# 3 What needs no sharper eye: higher levels, another look and other words, other things on the table, whole plans;
#   about 17,000 decisions.
collect --out "$OUT/more" --task $ALL --level 2 --episodes 50 --first-seed 330000
collect --out "$OUT/more" --task parcels,recall --level 2 --episodes 150 --first-seed 331000
collect --out "$OUT/more" --task sort,tidy,shelf,long,recall,rearrange,parcels,deliver --level 3 --episodes 40 --first-seed 332000
collect --out "$OUT/more" --task $ALL --episodes 25 --first-seed 340000 --perturbations look:2+words:1
collect --out "$OUT/more" --task $ALL --episodes 25 --first-seed 341000 --perturbations distractors:2
collect --out "$OUT/more" --task $ALL --episodes 25 --first-seed 343000 --altitude plan
collect --out "$OUT/more" --task free_words --level 2 --episodes 100 --first-seed 344000
qwenarm data check "$OUT/data" "$OUT/more" "$OUT/held-out"

# 4 Each decision about once.
qwenarm train sft --data "$OUT/data" "$OUT/more" --held-out "$OUT/held-out" --model "$OUT/eye/checkpoint" --steps 700 \
    --processes "$WORKERS" --lr 6e-4 --typing-errors 0.25 \
    --mix put=1.5,stack=0.8,sort=1.5,rearrange=1.4,long=2.6,inspect=2.8,recall=4,parcels=4,shelf=1.8,tidy=1.7,refuse=1.5,deliver=0.4,free_words=3 \
    --out "$OUT/sft" $QUICK

# 5 Measured on seeds that no training uses.
qwenarm eval --task $ALL --seeds "${SEEDS:-100}" --model "$OUT/sft/checkpoint" --workers "$WORKERS" --out "$OUT/eval"
