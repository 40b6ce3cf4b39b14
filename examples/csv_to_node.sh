#!/bin/sh
# From a CSV of events to an HTTP service in Node:
#
#     sh examples/csv_to_node.sh events.csv shop
#
# Further words go to `bst train` (`--config train.toml`). PORT=8080 is where the service listens, on this machine alone.
# The folder `shop` holds all that is needed to serve: node_service.mjs, node_modules and bundle; run is what was trained.
set -eu
examples=$(cd "$(dirname "$0")" && pwd)
packages=$examples/../clients/js
events=$1
shop=$2
shift 2

bst train "$events" --out "$shop/run" "$@"
bst export "$shop/run" --out "$shop/bundle" --formats onnx --signatures top_k

[ -d "$packages/node_modules/onnxruntime-node" ] || npm ci --ignore-scripts --prefix "$packages"
cp "$examples/node_service.mjs" "$shop"
npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$shop" "$packages/node"

exec node "$shop/node_service.mjs" "$shop/bundle" "${PORT:-8080}"
