#!/usr/bin/env bash
# Mutation test of the brakes and the do-no-harm rules (docs/brakes.md): one build, then the engine's tests once for each
# of them with that one switched off. A test must fail each time; what survives is listed, and the exit code is 1.
set -euo pipefail
cd "$(dirname "$0")/.."
# A build of its own, so that it does not disturb the usual one.
export CARGO_TARGET_DIR=$PWD/target/mutants
build=$(cargo test -p prunella-engine --features mutants --lib --test scenarios --no-run 2>&1) || { echo "$build"; exit 1; }
mapfile -t programs < <(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' <<<"$build")
mapfile -t names < <(sed -n 's/^| `\([a-z_]*\)` | \(safety\|pacing\|consent\|do_no_harm\|restraint\) .*/\1/p' docs/brakes.md)
[ "${#programs[@]}" -ge 2 ] && [ "${#names[@]}" -ge 30 ] || { echo "found ${#programs[@]} programs, ${#names[@]} brakes"; exit 1; }
# Where tests run matters: scenario texts are found from the engine's folder.
root=$PWD
run() { (cd shared/engine && PRUNELLA_MUTANT=$1 timeout 300 "$root/$2" 2>&1); }
for program in "${programs[@]}"; do
    run "" "$program" >/dev/null || { echo "the tests fail with everything switched on: $program"; exit 1; }
done
survivors=0
printf '%-26s %s\n' SWITCHED-OFF RED
for name in "${names[@]}"; do
    red=$(for program in "${programs[@]}"; do run "$name" "$program" || true; done | sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' | paste -sd' ')
    printf '%-26s %s\n' "$name" "${red:-SURVIVED}"
    [ -n "$red" ] || survivors=$((survivors + 1))
done
echo "${#names[@]} switched off one at a time, $survivors survived"
[ "$survivors" -eq 0 ]
