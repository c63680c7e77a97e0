#!/bin/sh
# The paper's comparison (docs/reference-systems.md), at equal budget. The defaults take about two
# hours on two AVX2 cores:
#
#     recipes/reference_systems.sh TRAIN VALID RUNS
#
# TRAIN, VALID: folders of photos. RUNS: folder for the run folders. The same command continues an
# interrupted run; other settings need another RUNS. Then `make results` writes the page.
#
# Every system begins with the same transform warm start, and sees STEPS batches of the same size:
#
#   naive        SlimCAE, λ equal for all widths
#   fixed        SlimCAE, λ halves from width to width
#   independent  a network for each width
#   full         a network of the widest width for each λ, the paper's baseline
#   scaling      the best network of `full`, with SCALING_STEPS for its factors on top
#   modulated    one network of the widest width for all λ
#   hyperprior   as `fixed`, and a hyperprior trains along
#   independent-hyperprior  as `independent`, and each network has a hyperprior of its own
#
# The last two train at Δ = 1 alone, as all others do. `slimcae fit` converts their hyperpriors to
# integers. All others are coded with the densities of their training, as in the papers.
#
# The ways to choose λ begin with the model of `naive`, and see MORE_STEPS further batches:
#
#   naive-more   λ stay equal
#   fixed-more   λ of the fixed list
#   scheduled    λ-scheduling, and what is left of the steps with the λ that it found
#
# `noise` schedules with a κ close to 1, so λ hardly change; changes of the slopes from try to try are
# then noise. Each model is measured on VALID.
#
# Two systems train at the same time, with a thread each, which takes two thirds of the time of one
# after the other with two threads.
#
# Variables change the defaults:
#   STEPS, MORE_STEPS, TRY_STEPS, TRIES, SCALING_STEPS
#   WIDTHS, LMBDA  widest and best first, as many of both
#   CROP           patchsize and batchsize
#   MORE           further options of every training: --device cpu, say
#   RESULTS        where the files for `make results` go
#   REPEATS        runs of each timing
set -eu
train=$1 valid=$2 runs=$3
slimcae="${PYTHON:-python3} -m slimcae"
steps=${STEPS:-500}
more_steps=${MORE_STEPS:-1200}
try_steps=${TRY_STEPS:-80}
tries=${TRIES:-3}
widths=${WIDTHS:-192 144 96 72 48}
lmbda=${LMBDA:-2048 1024 512 256 128}
crop=${CROP:---patchsize 128 --batchsize 4}
results=${RESULTS:-$(dirname "$0")/../docs/results/reference-systems}
common="$crop --quantization mixed --compile off --seed 1 ${MORE:-}"

# a shell ignores Ctrl-C in what it runs in the background, so it has to be told; it saves, then ends.
# 0 is the process group, as with Ctrl-C: a script that runs this one needs a group of its own to go on
trap 'trap "" INT TERM HUP; kill -TERM 0; wait; exit 143' INT TERM HUP

widest=${widths%% *}
best=${lmbda%% *}
equal=$(for _ in $widths; do printf '%s ' "$best"; done)

stopped=

# each stage leaves a mark, so that a finished one costs no time
once() {
    stage=$1
    shift
    [ -e "$runs/$stage.done" ] && return
    [ -z "$stopped" ] || exit 143
    echo "recipe: $stage" >&2
    "$@" || { code=$?; echo "recipe: $stage did not finish" >&2; exit "$code"; }
    touch "$runs/$stage.done"
}

train() { # NAME, options: a system that begins with the warm start
    name=$1
    shift
    once "$name" $slimcae train --train_glob "$train" --checkpoint_dir "$runs/$name" \
        --learning_rate 5e-4 --ema_decay 0.99 --last_step "$steps" $common "$@"
}

schedule() { # NAME, further options; the average covers less than a try, which it shall show
    name=$1
    shift
    keep "$name" "$runs/naive/model.safetensors"
    once "$name" $slimcae train_lambda_schedule --train_glob "$train" --inputPath "$valid" \
        --checkpoint_dir "$runs/$name" --schedule_steps "$try_steps" --max_tries "$tries" \
        --learning_rate 3e-4 --warmup_steps 20 --ema_decay 0.95 $common "$@"
}

keep() { # NAME, FILE: of a stage that others begin with
    mkdir -p "$runs/$1"
    [ -e "$runs/$1/model.safetensors" ] || cp "$2" "$runs/$1/model.safetensors"
}

model() { # NAME: the file of a system
    case $1 in
    *hyperprior) echo "$runs/$1.safetensors" ;;
    *) echo "$runs/$1/model.safetensors" ;;
    esac
}

describe() { # NAME: what a system costs; results do not say where RUNS is
    $slimcae info --json "$(model "$1")" > "$runs/$1.info.txt" &&
        $slimcae profile --json --repeats "${REPEATS:-3}" --precision float32 -y \
            --model "$(model "$1")" -o "$runs/$1.profile.json" > "$runs/$1.profile.txt" &&
        sed "s|$runs/||" "$runs/$1.info.txt" > "$results/$1.info.json" &&
        sed "s|$runs/||" "$runs/$1.profile.txt" > "$results/$1.profile.json"
}

measure() { # NAME: its curve on VALID
    $slimcae evaluate --inputPath "$valid" --precision float32 --names "$1" \
        --report_path "$runs/report/$1" --checkpoint_paths "$(model "$1")" &&
        cp "$runs/report/$1.json" "$results/$1.json"
}

lane() { # FUNCTION: run it in the background; at a signal, the stage at work ends by itself
    trap 'stopped=1' INT TERM HUP
    "$1"
}

together() { # FUNCTION, FUNCTION: run both at the same time, with a thread each
    OMP_NUM_THREADS=1
    export OMP_NUM_THREADS
    lane "$1" &
    first=$!
    lane "$2" &
    status=0
    wait $! || status=$?
    wait $first || status=$?
    unset OMP_NUM_THREADS
    [ "$status" = 0 ] || exit "$status"
}

methods() {
    train full --method independent --switch_list "$widest" --lmbda $lmbda
    train independent --method independent --switch_list $widths --lmbda $lmbda
    once scaling $slimcae train --method bottleneck_scaling --init_from "$runs/full" \
        --train_glob "$train" --checkpoint_dir "$runs/scaling" --lmbda $lmbda $crop --compile off \
        --seed 1 --last_step "${SCALING_STEPS:-1000}" ${MORE:-}
    train modulated --method modulated --switch_list "$widest" --lmbda $lmbda
    train independent-hyperprior --method independent --switch_list $widths --lmbda $lmbda \
        --entropy_model hyperprior --at_one 1
    train fixed --switch_list $widths --lmbda $lmbda
    train hyperprior --switch_list $widths --lmbda $lmbda --entropy_model hyperprior --at_one 1
}

choices_of_lmbda() {
    train naive --switch_list $widths --lmbda $equal
    schedule schedule --kappa 0.7
    schedule noise --kappa 0.999999
    tried=$(($(wc -l < "$runs/schedule/schedule.csv") - 2))  # rows: names, the start, tries
    left=$((more_steps - tried * try_steps))
    [ "$left" -gt 0 ] || { echo "recipe: no steps left after $tried tries: MORE_STEPS?" >&2; exit 1; }
    train scheduled --init_from "$runs/schedule/model_scheduled.safetensors" --last_step "$left"
    train fixed-more --init_from "$runs/naive" --lmbda $lmbda --last_step "$more_steps"
    train naive-more --init_from "$runs/naive" --lmbda $equal --last_step "$more_steps"
}

measurements() {
    systems="full independent scaling modulated naive fixed naive-more fixed-more scheduled"
    hyperpriors="hyperprior independent-hyperprior"
    for system in $hyperpriors; do
        once "fit-$system" $slimcae fit --model "$runs/$system" --train_glob "$train" \
            --inputPath "$valid" -y -o "$(model "$system")" --entropy_model hyperprior
    done
    for system in $systems $hyperpriors; do
        once "cost-$system" describe "$system"
        once "curve-$system" measure "$system"
    done
}

mkdir -p "$runs" "$results"
# options are lists of words, hence no quotes
together methods choices_of_lmbda
lane measurements &
wait $!
cp "$runs/schedule/schedule.csv" "$results/schedule.csv"
cp "$runs/noise/schedule.csv" "$results/noise.csv"
