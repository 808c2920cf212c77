#!/usr/bin/env bash
# Everything that needs a GPU, in one command of under nine minutes.
#
#   scripts/gpu_check.sh OUTPUT_DIR [PART...]
#
# PARTs, the first four unless named, in this order and as far as the time goes:
#   doctor    is the machine fit to measure
#   tests     the GPU tests
#   sweep-8b  scripts/gpu_check.yaml: a frontier of Llama 3.1 8B's shape, measured twice, with its
#             limit; `verify` of its operating point chat; `emit` of it in every format
#   limits    `paretobench limits`, and the steps of sweep-8b held against them
#   bench     the runner beside `generate`
#   sweep-1b  batch_size_curve with Llama 3.2 1B's shape
#   compare   scenarios/ci.yaml as CI measures it, twice, the second like the first, and `compare` of
#             the two (must not be a regression); then three interleaved pairs of it against itself
#   policies  static against continuous, an engine a class, variants; not measured twice
#   adaptive  the controllers; not measured twice
# Each further call can take two or so: `bench sweep-1b`, then `compare`, `policies`, `adaptive`.
#
# Needs python3 with the dependencies importable (PYTHON names another interpreter). Leaves at most
# eight files in OUTPUT_DIR, so that they are easily carried away: summary.md; doctor.json; the
# sweeps' frontier-NAME.png; results.tar.gz, which has each sweep's report.md, points.csv,
# frontier.csv, operating_points.yaml, manifest.json and figures, those of `verify`, what `emit`
# wrote, limits, bench and every log; raw.tar.gz, the sweeps' raw trials, where they are small.
# A part that fails does not stop the next; a sweep that is out of time keeps what it measured.
# Exit: 0 all parts passed, 1 a part failed or was skipped, 2 usage, 4 no GPU.
set -uo pipefail

readonly TOTAL_S=525      # for all parts, packing included
readonly GRACE_S=20       # between SIGTERM and SIGKILL: a sweep that is told to end packs up
readonly PACK_S=15
readonly MIN_PART_S=20    # a part with less time than this is not worth starting
readonly MAX_ARCHIVE_BYTES=$((15 * 1024 * 1024))

readonly MAX_PICTURES=4   # with the other files at most eight

readonly ALL_PARTS=(doctor tests sweep-8b limits bench sweep-1b compare policies adaptive)
readonly DEFAULT_PARTS=(doctor tests sweep-8b limits) # what fits into the time
readonly FORMATS=(triton vllm torchserve ray-serve bentoml yaml)

usage() {
  echo "usage: ${0##*/} OUTPUT_DIR [PART...]; parts: ${ALL_PARTS[*]}" >&2
  exit 2
}

[[ $# -ge 1 && -n $1 ]] || usage
parts=("${@:2}")
((${#parts[@]})) || parts=("${DEFAULT_PARTS[@]}")
for part in "${parts[@]}"; do
  [[ " ${ALL_PARTS[*]} " == *" $part "* ]] || usage
done

SECONDS=0
repo=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
python=${PYTHON:-python3}
mkdir -p -- "$1" || exit 2
out=$(cd -- "$1" && pwd) || exit 2
cd -- "$repo" || exit 2
export PYTHONPATH="$repo${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1

if ! device=$("$python" -c 'import torch; print(torch.cuda.get_device_name(0))' 2>/dev/null); then
  echo "gpu_check: no GPU: $python's torch sees no CUDA device here" >&2
  exit 4
fi

work=$out/work
rows=()
failures=0
pictures=0

# note PART RESULT SECONDS: one line of the summary
note() {
  rows+=("| $1 | $2 | $3 |")
  [[ $2 == passed* ]] || failures=$((failures + 1))
  echo "gpu_check: $1: $2 ($3 s)"
}

# run_part PART LIMIT_S LOG ANSWERS COMMAND...: run the command within its limit and the time that
# is left. ANSWERS are the exit codes, such as "0 1 3", that are an answer and no failure.
run_part() {
  local part=$1 limit_s=$2 log=$3 answers=$4 begin_s=$SECONDS left_s result code=0
  shift 4
  left_s=$((TOTAL_S - PACK_S - GRACE_S - SECONDS))
  if ((left_s < MIN_PART_S)); then
    note "$part" "skipped: no time left" 0
    return
  fi
  ((limit_s <= left_s)) || limit_s=$left_s
  timeout -k "$GRACE_S" "$limit_s" "$@" >"$log" 2>&1 || code=$?
  case $code in
    0) result=passed ;;
    124 | 137) result="failed: not done within $limit_s s (exit $code)" ;;
    *) result="failed: exit $code" ;;
  esac
  # a crash of Python ends with 1 as well
  if ((code)) && [[ " $answers " == *" $code "* ]] && ! grep -q '^Traceback' -- "$log"; then
    result="passed with exit $code: see ${log##*/}"
  fi
  note "$part" "$result" $((SECONDS - begin_s))
  [[ $result == passed ]] || tail -n 5 -- "$log"
}

# wanted PART: whether this part was asked for
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

# sweep NAME SCENARIO_FILE LIMIT_S OPTION...: a sweep on the GPU into $work/NAME, and its frontier
sweep() {
  local name=$1 scenario=$2 limit_s=$3
  shift 3
  run_part "sweep $name" "$limit_s" "$work/sweep-$name.txt" "0 1" "$python" -m paretobench \
    sweep "$scenario" --device cuda --output-dir "$work/$name" "$@"
  if [[ -f $work/$name/frontier.png ]] && ((pictures < MAX_PICTURES)); then
    cp -- "$work/$name/frontier.png" "$out/frontier-$name.png"
    pictures=$((pictures + 1))
  fi
}

# verify_and_emit NAME POINT: measure a sweep's operating point again, and print it for each server
verify_and_emit() {
  local name=$1 point=$2
  run_part "verify $name $point" 100 "$work/verify-$name.txt" "0 1 3" "$python" -m paretobench \
    verify "$work/$name" --point "$point" --factor 2 --repeats 2 \
    --output-dir "$work/verify-$name"
  mkdir -p -- "$work/emit-$name"
  # shellcheck disable=SC2016 # the inner shell is to expand them
  run_part "emit $name $point" 60 "$work/emit-$name.txt" "0" "$BASH" -c '
    python=$1 run=$2 point=$3 folder=$4 code=0
    for format in "${@:5}"; do
      "$python" -m paretobench emit "$run" --point "$point" --format "$format" \
        --output "$folder/$format.txt" || code=1
    done
    exit "$code"' emit "$python" "$work/$name" "$point" "$work/emit-$name" "${FORMATS[@]}"
}

describe_machine() {
  echo "## nvidia-smi"
  nvidia-smi 2>&1
  nvidia-smi -q -d CLOCK,POWER,PERFORMANCE 2>&1 | head -n 80
  echo "## versions"
  "$python" - <<'PYTHON'
import platform
from importlib.metadata import PackageNotFoundError, version

print("python", platform.python_version(), "on", platform.system(), platform.release())
for name in ("torch", "triton", "transformers", "nvidia-ml-py", "psutil", "numpy", "pandas",
             "pyarrow", "pydantic", "pytest"):
    try:
        print(name, version(name))
    except PackageNotFoundError:
        print(name, "missing")
import torch

print("cuda", torch.version.cuda, torch.cuda.get_device_properties(0))
PYTHON
  git log -1 --format='commit %H' 2>&1
  git status --short 2>&1 | head -n 20
}

pack() {
  local raw=$out/raw.tar.gz
  [[ -d $work ]] || return 0
  tar -czf "$out/results.tar.gz" --exclude=trials -C "$work" . || return 1
  (cd -- "$work" && find . -type d -name trials -prune -print0 | tar -czf "$raw" --null -T -)
  if [[ -f $raw ]] && (($(wc -c <"$raw") > MAX_ARCHIVE_BYTES)); then
    rm -f -- "$raw"
    echo "gpu_check: the raw trials are left out: too large" >&2
  fi
  rm -rf -- "$work"
}

# shellcheck disable=SC2016 # the backquotes are Markdown's
write_summary() {
  {
    echo "# GPU check on $device"
    echo
    echo "| part | result | s |"
    echo "| --- | --- | ---: |"
    printf '%s\n' ${rows[@]+"${rows[@]}"}
    echo
    for log in "$work"/{doctor,gpu-tests,gpu-tests-alone,limits,bench}.txt "$work"/sweep-*.txt \
      "$work"/verify-*.txt "$work"/emit-*.txt "$work"/compare*.txt; do
      [[ ! -f $log ]] || printf '## %s\n\n```\n%s\n```\n\n' "${log##*/}" "$(tail -n 30 -- "$log")"
    done
    echo "$failures failed or skipped, $SECONDS s in all."
  } >"$out/summary.md"
}

finish() {
  trap - EXIT
  write_summary
  pack || echo "gpu_check: packing failed: what was measured is in $work" >&2
  cat -- "$out/summary.md"
}
trap finish EXIT
trap 'note "the whole check" "failed: told to stop" "$SECONDS"; exit 143' TERM INT

rm -rf -- "$work"
mkdir -p -- "$work" || exit 2
describe_machine >"$work/machine.txt" 2>&1

# shellcheck disable=SC2016 # the inner shell is to expand them
! wanted doctor || run_part "doctor" 90 "$work/doctor.txt" "4" "$BASH" -c \
  'exec "$1" -m paretobench doctor --device cuda --json >"$2"' doctor "$python" "$out/doctor.json"
if wanted tests; then
  # of the test files those with a GPU test alone: others import what that machine may lack
  mapfile -t files < <(grep -rlE --include='*.py' 'mark\.gpu|needs_gpu' tests)
  # -W default: that machine's package versions may warn; here only the tests count
  run_part "gpu tests" 170 "$work/gpu-tests.txt" "" "$python" -m pytest -n 4 \
    -m "gpu and not gpu_alone" -rs -p no:cacheprovider -W default "${files[@]}"
  run_part "gpu tests, alone" 75 "$work/gpu-tests-alone.txt" "" "$python" -m pytest -n 0 \
    -m gpu_alone -rs -p no:cacheprovider -W default "${files[@]}"
  for log in gpu-tests gpu-tests-alone; do
    grep -Eq '[0-9]+ passed' "$work/$log.txt" 2>/dev/null ||
      note "$log ran" "failed: none passed, see $log.txt" 0
  done
fi
if wanted sweep-8b; then
  sweep 8b scripts/gpu_check.yaml 230
  verify_and_emit 8b chat
fi
if wanted limits; then
  held=()
  [[ ! -d $work/8b/trials ]] || held=(--run "$work/8b")
  run_part "limits" 70 "$work/limits.txt" "" "$python" -m paretobench limits --device cuda \
    --seconds 15 --model llama-3.1-8b --context 512 --output-tokens 128 \
    --output-dir "$work/limits" ${held[@]+"${held[@]}"}
fi
# `generate` with a static cache compiles itself for every batch size: few sizes, few rounds
! wanted bench || run_part "bench" 210 "$work/bench.txt" "" "$python" scripts/bench_runner.py \
  --preset llama-3.1-8b --device cuda --dtype bfloat16 --context 1024 --batch-sizes 1,16,64 \
  --rounds 2 --steps 24 --prefill 4x1024 --output-dir "$work/bench"
llama_1b=(--model llama-3.2-1b --dtype bfloat16)
! wanted sweep-1b || sweep 1b scenarios/batch_size_curve.yaml 170 "${llama_1b[@]}" --repeats 2
if wanted compare; then
  sweep ci scenarios/ci.yaml 120 "${llama_1b[@]}"
  sweep ci_again scenarios/ci.yaml 100 "${llama_1b[@]}" --like "$work/ci"
  run_part "compare a with a" 40 "$work/compare.txt" "0 3" "$python" -m paretobench \
    compare "$work/ci" "$work/ci_again" --output-dir "$work/compare"
  # the same command on both sides: whatever it finds is noise
  pair=("$python" -m paretobench sweep scenarios/ci.yaml --device cuda "${llama_1b[@]}"
    --repeats 1 --max-batch-size 1,8,32)
  run_part "compare pairs" 300 "$work/compare-pairs.txt" "0 3" "$python" -m paretobench \
    compare --run-pairs 3 --baseline-cmd "${pair[*]@Q}" --candidate-cmd "${pair[*]@Q}" \
    --output-dir "$work/pairs"
fi
if wanted policies; then
  once=(--repeats 1 --no-confirm)
  sweep longest_request scenarios/longest_request.yaml 130 "${llama_1b[@]}" "${once[@]}" \
    --max-batch-size 16
  sweep mixed_traffic scenarios/mixed_traffic.yaml 190 "${llama_1b[@]}" "${once[@]}" \
    --request-rate 20
  sweep shift_the_curve scenarios/shift_the_curve.yaml 120 "${once[@]}"
fi
! wanted adaptive || sweep adaptive scenarios/adaptive.yaml 330 "${llama_1b[@]}" --repeats 1 \
  --no-confirm --max-batch-size 16

finish
((failures == 0)) || exit 1
