#!/bin/sh
# The complete recipe for weights like the packaged ones (docs/model-card.md describes their
# training):
#
#     recipes/train.sh TRAIN VALID RUNS
#
# TRAIN, VALID: folders of photos. RUNS: folder for the run folders. After an interruption (Ctrl-C,
# SIGTERM, `timeout -s TERM`), the same command continues exactly where it was stopped.
#
#   1. all     λ equal for all widths, from the transform warm start
#   2. lambda  λ-scheduling on VALID: the λ of each width          (skipped if TRIES is 0)
#   3. tuned   all widths with these λ, down to a small learning rate     (skipped if TRIES is 0)
#   4. decoder only g_s, on rounded latents
#   5. entropy the context networks, on latents of TRAIN           (skipped if ENTROPY_STEPS is 0)
#   6. fit     integers and tables for TRAIN, the scale of -q on VALID
#
# The defaults are for a GPU. Variables change them:
#   LMBDA       λ of the first stage, widest first; with TRIES=0 they are the final ones
#   STEPS, TRY_STEPS, TRIES, TUNED_STEPS, DECODER_STEPS, ENTROPY_STEPS (per width)
#   ARCHITECTURE  slimcae, broader, broad, light or lighter
#   OPTIMIZER   adam or soap
#   RATE        peak learning rate of the first stage (for light 2e-3); later stages use 1/5 to 1/3
#               of it
#   CROP        patchsize and batchsize
#   MORE        further options of `slimcae train` in stages 1 to 4, for example --device cpu; for
#               light also --balance log, without which narrow widths hardly improve
#   ENTROPY     further options in stage 5
set -eu
train=$1 valid=$2 runs=$3
slimcae="${PYTHON:-python3} -m slimcae"
lmbda=${LMBDA:-4000 4000 4000 4000 4000}
tries=${TRIES:-7}
optimizer=${OPTIMIZER:-adam}
rate=${RATE:-5e-4}
crop=${CROP:---patchsize 256 --batchsize 16}
more=${MORE:-}
trap : TERM INT  # the running stage also gets the signal, and must finish saving

# after equal time 2 to 3 % fewer bits than with noise alone (docs/results/trials/README.md)
mixed="--quantization mixed"

part() { awk "BEGIN { print $rate / $1 }"; }

# each finished stage leaves a marker file, so it is not repeated
once() {
    stage=$1
    shift
    [ -e "$runs/$stage.done" ] && return
    echo "recipe: $stage" >&2
    "$@"
    touch "$runs/$stage.done"
}

mkdir -p "$runs"
# options are lists of words, hence no quotes
once all $slimcae train --train_glob "$train" --checkpoint_dir "$runs/all" --lmbda $lmbda \
    --architecture "${ARCHITECTURE:-slimcae}" \
    --optimizer "$optimizer" --learning_rate "$rate" --last_step "${STEPS:-30000}" $mixed $crop $more
trained=$runs/all/model.safetensors
if [ "$tries" -gt 0 ]; then
    once lambda $slimcae train_lambda_schedule --train_glob "$train" --inputPath "$valid" \
        --checkpoint_dir "$runs/all" --max_tries "$tries" --schedule_steps "${TRY_STEPS:-500}" \
        --optimizer "$optimizer" --learning_rate "$(part 5)" $mixed $crop $more
    once tuned $slimcae train --train_glob "$train" --checkpoint_dir "$runs/tuned" \
        --init_from "$runs/all/model_scheduled.safetensors" --optimizer "$optimizer" \
        --learning_rate "$(part 3)" --last_step "${TUNED_STEPS:-20000}" $mixed $crop $more
    trained=$runs/tuned/model.safetensors
fi
once decoder $slimcae train --train_glob "$train" --checkpoint_dir "$runs/decoder" \
    --init_from "$trained" --stage decoder --learning_rate "$(part 5)" \
    --ema_decay 0.99 --last_step "${DECODER_STEPS:-4000}" $crop $more
trained=$runs/decoder
if [ "${ENTROPY_STEPS:-12000}" -gt 0 ]; then
    seen=
    [ -e "$valid" ] && seen=yes
    once entropy $slimcae train --stage entropy --init_from "$trained" --train_glob "$train" \
        ${seen:+--inputPath "$valid"} --checkpoint_dir "$runs/entropy" --last_step "${ENTROPY_STEPS:-12000}" ${ENTROPY:-}
    trained=$runs/entropy
fi
if ${PYTHON:-python3} -c 'import constriction' 2>/dev/null; then
    once fit $slimcae fit --model "$trained" --train_glob "$train" --inputPath "$valid" \
        --half -o "$runs/fitted.safetensors"
else
    echo "recipe: constriction is not installed: run \`slimcae fit\` elsewhere" >&2
fi
