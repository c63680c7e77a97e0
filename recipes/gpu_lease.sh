#!/bin/sh
# Continue the training of a model on a borrowed GPU, and end in time (recipes/gpu-lease.md):
#
#     recipes/gpu_lease.sh STAGE SECONDS PHOTOS RUN OUT
#
# STAGE: all or decoder. SECONDS: for the whole call. PHOTOS: folder of training photos. RUN: run
# folder. OUT: folder for the model in half precision and the log.
#
# Some steps are timed first, because the learning rate must end its cosine at the last step that
# fits into the time.
#
# Variables change the settings:
#   INIT        model to begin with
#   RATE        peak learning rate
#   CROP        patchsize and batchsize
#   MORE        further options of `slimcae train`
#   TIMED       number of steps that are timed; the first half is left out
#   MARGIN      seconds for the start of the second process, and for writing the model
set -eu
stage=$1 end=$(($(date +%s) + $2)) photos=$3 run=$4 out=$5
init=${INIT:-slimcae}
rate=${RATE:-1e-3}
crop=${CROP:---patchsize 256 --batchsize 16}
timed=${TIMED:-200}
margin=${MARGIN:-75}

train() {
    # options are lists of words, hence no quotes
    timeout -s TERM "$((end - $(date +%s) - 10))" python3 -m slimcae train --stage "$stage" \
        --init_from "$init" --train_glob "$photos" --checkpoint_dir "$run" --balance log \
        --quantization mixed --learning_rate "$rate" --warmup_steps 200 $crop \
        --log_every "$((timed / 2))" "$@" ${MORE:-}
}

train --decay none --last_step "$timed"
seconds() { sed -n "s/^{\"step\": $1,.*\"seconds\": \([0-9.]*\)}.*/\1/p" "$run/log.jsonl"; }
each=$(awk "BEGIN { print ($(seconds "$timed") - $(seconds $((timed / 2)))) / ($timed - int($timed / 2)) }")
steps=$(awk "BEGIN { print int($timed + ($end - $(date +%s) - $margin) / $each) }")
echo "gpu_lease: $each s per step, $steps steps"
# a run keeps its settings, hence the decay; what was trained comes home in any case
train --decay cosine --last_step "$steps" || echo "gpu_lease: the training ended early (exit status $?)"
mkdir -p "$out"
cp "$run/log.jsonl" "$out/$stage.jsonl"
python3 tools/halve_model.py "$run/model.safetensors" "$out/$stage.safetensors"
