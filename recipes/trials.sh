#!/bin/sh
# The comparisons of docs/results/trials/README.md, on small budgets (an hour on one CPU core):
#
#     recipes/trials.sh TRAIN VALID RUNS START
#
# TRAIN, VALID: folders of photos. RUNS: folder for the run folders. START: model with the initial
# weights for λ-scheduling. Then `make results` writes the tables and the plot.
#
#   gdn-*      the variants of GDN, from the transform warm start, for the same number of steps
#   equal      all widths at λ 2048, the "naive" model
#   scheduled  λ-scheduling on VALID, from `equal`
#   fixed      the list 2048 1024 512 256 128, from `equal`, for the steps of the schedule
set -eu
train=$1 valid=$2 runs=$3 start=$4
slimcae="${PYTHON:-python3} -m slimcae"
results=$(dirname "$0")/../docs/results/trials
crop="--patchsize 128 --batchsize 8 --quantization mixed --compile off"
tune="$crop --learning_rate 2e-4 --ema_decay 0.98 --seed 1"

measure() {
    $slimcae evaluate --inputPath "$valid" --precision float32 --checkpoint_paths "$2" \
        --report_path "$runs/report/$1"
    cp "$runs/report/$1.json" "$results/$1.json"
}

mkdir -p "$results" "$runs/report"
for gdn in switchable slim slim+; do
    $slimcae train --train_glob "$train" --checkpoint_dir "$runs/gdn-$gdn" --gdn "$gdn" \
        --learning_rate 5e-4 --last_step 600 --ema_decay 0.99 --seed 1 $crop
    measure "gdn-$gdn" "$runs/gdn-$gdn"
done

$slimcae train --train_glob "$train" --checkpoint_dir "$runs/equal" --init_from "$start" \
    --lmbda 2048 2048 2048 2048 2048 --decay none --last_step 500 $tune
measure equal "$runs/equal"
$slimcae train_lambda_schedule --train_glob "$train" --inputPath "$valid" \
    --checkpoint_dir "$runs/equal" --kappa 0.7 --max_tries 4 --schedule_steps 60 $tune
measure scheduled "$runs/equal/model_scheduled.safetensors"
cp "$runs/equal/schedule.csv" "$results/schedule.csv"
steps=$((60 * ($(wc -l < "$results/schedule.csv") - 2)))  # rows: names, the start, tries
$slimcae train --train_glob "$train" --checkpoint_dir "$runs/fixed" \
    --init_from "$runs/equal/model.safetensors" --lmbda 2048 1024 512 256 128 \
    --decay none --last_step "$steps" $tune
measure fixed "$runs/fixed"
