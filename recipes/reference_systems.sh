#!/bin/sh
# The paper's comparison (docs/reference-systems.md), at equal budget. The defaults are laid out for
# about three hours on two CPU cores, by the multiply-accumulates of their steps:
#
#     recipes/reference_systems.sh TRAIN VALID RUNS
#
# TRAIN, VALID: folders of photos. RUNS: folder for the run folders. The same command continues an
# interrupted run. Then `make results` writes the page.
#
# Every system begins with the same transform warm start, and sees STEPS batches of the same size:
#
#   naive        SlimCAE, λ equal for all widths
#   fixed        SlimCAE, λ halves from width to width
#   scheduled    SlimCAE: half of the steps at equal λ, λ-scheduling, and what is left with its λ
#   independent  a network for each width
#   full         a network of the widest width for each λ, the paper's baseline
#   scaling      the best network of `full`, with SCALING_STEPS for its factors on top
#   modulated    one network of the widest width for all λ
#   hyperprior   as `fixed`, and a hyperprior trains along
#   independent-hyperprior  as `independent`, and each network has a hyperprior of its own
#
# The last two train at Δ = 1 alone, as all others do, and are fitted to code with hyperpriors, also
# where tables without any would take fewer bits.
#
# `noise` schedules with a κ close to 1, so λ hardly change; changes of the slopes from try to try are
# then noise. Each model is fitted to TRAIN (tables per rate), and measured on VALID.
#
# Variables change the defaults:
#   STEPS, TRY_STEPS, TRIES, SCALING_STEPS
#   WIDTHS, LMBDA  widest and best first, as many of both
#   CROP           patchsize and batchsize
#   MORE           further options of every training: --device cpu, say
#   RESULTS        where the files for `make results` go
#   REPEATS        runs of each timing
set -eu
train=$1 valid=$2 runs=$3
slimcae="${PYTHON:-python3} -m slimcae"
steps=${STEPS:-1500}
try_steps=${TRY_STEPS:-40}
tries=${TRIES:-4}
widths=${WIDTHS:-192 144 96 72 48}
lmbda=${LMBDA:-2048 1024 512 256 128}
crop=${CROP:---patchsize 128 --batchsize 8}
results=${RESULTS:-$(dirname "$0")/../docs/results/reference-systems}
common="$crop --quantization mixed --ema_decay 0.99 --compile off --seed 1 ${MORE:-}"
trap : TERM INT  # the stage at work gets the signal too, and shall finish saving

widest=${widths%% *}
best=${lmbda%% *}
equal=$(for _ in $widths; do printf '%s ' "$best"; done)
half=$((steps / 2))

# each stage leaves a mark, so that a finished one costs no time
once() {
    stage=$1
    shift
    [ -e "$runs/$stage.done" ] && return
    echo "recipe: $stage" >&2
    "$@"
    touch "$runs/$stage.done"
}

train() { # NAME, options: a system that begins with the warm start
    name=$1
    shift
    once "$name" $slimcae train --train_glob "$train" --checkpoint_dir "$runs/$name" \
        --learning_rate 5e-4 --last_step "$steps" $common "$@"
}

schedule() { # NAME, further options
    name=$1
    shift
    once "$name" $slimcae train_lambda_schedule --train_glob "$train" --inputPath "$valid" \
        --checkpoint_dir "$runs/$name" --schedule_steps "$try_steps" --max_tries "$tries" \
        $common --learning_rate 2e-4 "$@"
}

keep() { # NAME, FILE: of a stage that others begin with
    mkdir -p "$runs/$1"
    [ -e "$runs/$1/model.safetensors" ] || cp "$2" "$runs/$1/model.safetensors"
}

describe() { # NAME: what a system costs
    $slimcae info --json "$runs/$1.safetensors" > "$results/$1.info.json"
    $slimcae profile --json --repeats "${REPEATS:-3}" --precision float32 -y \
        --model "$runs/$1.safetensors" -o "$runs/$1.profile.json" > "$results/$1.profile.json"
}

measure() { # STAGE, REPORT, systems
    stage=$1 report=$2
    shift 2
    once "$stage" $slimcae evaluate --inputPath "$valid" --precision float32 --names "$@" \
        --report_path "$runs/report/$report" \
        --checkpoint_paths $(for system; do echo "$runs/$system.safetensors"; done)
    for system; do
        cp "$runs/report/${report}_$system.json" "$results/$system.json"
    done
}

mkdir -p "$runs" "$results"
# options are lists of words, hence no quotes
train naive --switch_list $widths --lmbda $equal
train fixed --switch_list $widths --lmbda $lmbda
train independent --method independent --switch_list $widths --lmbda $lmbda
train full --method independent --switch_list "$widest" --lmbda $lmbda
train modulated --method modulated --switch_list "$widest" --lmbda $lmbda
train hyperprior --switch_list $widths --lmbda $lmbda --entropy_model hyperprior --at_one 1
train independent-hyperprior --method independent --switch_list $widths --lmbda $lmbda \
    --entropy_model hyperprior --at_one 1
once scaling $slimcae train --method bottleneck_scaling --init_from "$runs/full" \
    --train_glob "$train" --checkpoint_dir "$runs/scaling" --lmbda $lmbda $crop --compile off \
    --seed 1 --last_step "${SCALING_STEPS:-1000}" ${MORE:-}

once begun $slimcae train --train_glob "$train" --checkpoint_dir "$runs/begun" --lmbda $equal \
    --switch_list $widths --learning_rate 5e-4 --last_step "$half" $common --decay none
keep schedule "$runs/begun/model.safetensors"
keep noise "$runs/begun/model.safetensors"
schedule noise --kappa 0.999999
schedule schedule
tried=$(($(wc -l < "$runs/schedule/schedule.csv") - 2))  # rows: names, the start, tries
left=$((steps - half - tried * try_steps))
[ "$left" -gt 0 ] || { echo "recipe: no steps are left after $tried tries: more STEPS" >&2; exit 1; }
once scheduled $slimcae train --train_glob "$train" --checkpoint_dir "$runs/scheduled" \
    --init_from "$runs/schedule/model_scheduled.safetensors" --last_step "$left" \
    --learning_rate 5e-4 $common

systems="full independent scaling modulated naive fixed scheduled"
hyperpriors="hyperprior independent-hyperprior"
for system in $systems $hyperpriors; do
    case $system in *hyperprior) kind="--entropy_model hyperprior" ;; *) kind= ;; esac
    once "fit-$system" $slimcae fit --model "$runs/$system" --train_glob "$train" \
        --inputPath "$valid" --half -y -o "$runs/$system.safetensors" $kind
    once "cost-$system" describe "$system"
done
cp "$runs/schedule/schedule.csv" "$results/schedule.csv"
cp "$runs/noise/schedule.csv" "$results/noise.csv"
measure evaluate systems $systems
measure evaluate-hyperpriors hyperpriors $hyperpriors
