#!/bin/sh
# How the bundled checkpoint, tenth edition, was made from the weights of the ninth, by public commands. On two cores of
# an x86 server CPU (AVX-512 with bfloat16): about 50 minutes of collecting, 30 of the vision tower alone, and 50 of
# learning. (How the editions before were made: this file at commits 17d9ea3, e835195 and 41c466f.)
#
#   sh examples/train_bundled.sh                 # everything; stop it at any time, the same command goes on
#   QUICK=--quick sh examples/train_bundled.sh   # each stage in miniature, to see that it works
set -e
cd "$(dirname "$0")" # where shuffled.py is
OUT=${OUT:-../runs/bundled}
WORKERS=${WORKERS:-2}
NINTH=${NINTH:-bundled} # git show 17d9ea3, folder src/qwenarm/assets/bundled
SEEDS=${QUICK:+1}
ALL=put,stack,sort,parcels,inspect,shelf,tidy,deliver,recall,rearrange,long,refuse
collect() { qwenarm collect --workers "$WORKERS" $QUICK "$@"; }

# 1 Demonstrations: 43,000 decisions that the ninth edition has learned from, too, and 19,000 of new scenes.
collect --out "$OUT/data" --task parcels,recall --episodes 500 --first-seed 310000
collect --out "$OUT/data" --task inspect,refuse --episodes 500 --first-seed 310000
collect --out "$OUT/data" --task put,stack,sort --episodes 250 --first-seed 310000
collect --out "$OUT/data" --task long,rearrange,shelf,tidy --episodes 250 --first-seed 310000
collect --out "$OUT/data" --task free_words --episodes 1000 --first-seed 310000
collect --out "$OUT/data" --task inspect,long,shelf,recall --episodes 400 --first-seed 350000
collect --out "$OUT/data" --task $ALL --level 2 --episodes 50 --first-seed 330000
collect --out "$OUT/data" --task parcels,recall --level 2 --episodes 150 --first-seed 331000
collect --out "$OUT/data" --task $ALL --level 2 --episodes 100 --first-seed 370000
collect --out "$OUT/data" --task sort,tidy,shelf,long,recall,rearrange,parcels,deliver --level 3 --episodes 40 --first-seed 332000
collect --out "$OUT/data" --task $ALL --episodes 25 --first-seed 340000 --perturbations look:2+words:1
collect --out "$OUT/data" --task $ALL --episodes 25 --first-seed 341000 --perturbations distractors:2
collect --out "$OUT/data" --task $ALL --episodes 25 --first-seed 343000 --altitude plan
collect --out "$OUT/data" --task free_words --level 2 --episodes 100 --first-seed 344000
collect --out "$OUT/held-out" --task $ALL,free_words --level 1,2 --episodes 6 --first-seed 900000
qwenarm data check "$OUT/data" "$OUT/held-out"

# 2 An eye for marks and shapes: 25,200 pictures of ten shuffled things each, then 960 steps of the vision tower alone.
collect --out "$OUT/shuffled" --task shuffled:TASK --level 1,2,3,4 --episodes 450 --first-seed 380000
qwenarm train sft --data "$OUT/shuffled" "$OUT/data" --model "$NINTH" --steps 960 --eye-steps 960 --processes "$WORKERS" \
    --mix shuffled:TASK=10,put=0.3,stack=0.2,sort=0.5,rearrange=0.5,long=0.7,inspect=0.6,recall=1,parcels=1,shelf=0.7,tidy=0.6,refuse=0.2,free_words=0.6,deliver=0.2 \
    --out "$OUT/eye" $QUICK

# 3 Decisions.
qwenarm train sft --data "$OUT/data" "$OUT/shuffled" --held-out "$OUT/held-out" --model "$OUT/eye/checkpoint" --steps 640 \
    --processes "$WORKERS" --lr 6e-4 --typing-errors 0.25 \
    --mix put=1.5,stack=0.8,sort=1.6,rearrange=1.4,long=3,inspect=3,recall=2.5,parcels=3.5,shelf=2.2,tidy=1.7,refuse=1.5,deliver=0.5,free_words=4,shuffled:TASK=2 \
    --out "$OUT/sft" $QUICK

# 4 The mean of these weights and those of the ninth edition, measured on seeds that no training uses.
python average_weights.py "$OUT/sft/checkpoint" "$NINTH" --weight 0.5 --out "$OUT/mean"
qwenarm eval --task $ALL --seeds "${SEEDS:-100}" --model "$OUT/mean" --workers "$WORKERS" --out "$OUT/eval"
