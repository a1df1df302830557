#!/bin/sh
# Makes the embedded model from nothing: recipes/posegen-mini/make.sh FOLDER
# FOLDER gets datasets, trainings and, in the end, the model folder posegen-mini. Every step can be stopped; the same
# command goes on where it was. Run `npm run build` first.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
posegen() { node "$here/../../dist/app/cli/main.js" "$@"; }
mkdir -p "$1"
cd "$1"

posegen train --config "$here/vae.yaml"
posegen train export vae --out encoders --name posegen-mini
for clips in images short train interpolated held-out; do
  posegen dataset render --recipe "$here/clips-$clips.yaml" --model encoders --out "clips-$clips"
done
for training in images start base phase1 phase2; do
  posegen train --config "$here/$training.yaml"
done
posegen train export vae base phase1 phase2 --out posegen-mini
