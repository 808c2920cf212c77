#!/usr/bin/env bash
# Everything that needs a GPU, in one command of under nine minutes.
#
#   scripts/gpu_check.sh OUTPUT_DIR [PART...]
#
# PARTs, the first four unless named: tests, limits, bench, sweep-8b, sweep-1b, policies (static
# against continuous, priorities, an engine a class, variants; a run of its own). Needs python3 with the
# dependencies importable (PYTHON names another interpreter). Leaves in OUTPUT_DIR: summary.md,
# machine.txt, gpu-tests.txt, bench/ (runner.csv, .md, .png), the frontiers as PNG, and all else
# packed in gpu_check.tar.gz. A part that fails does not stop the next.
# Exit: 0 all parts passed, 1 a part failed or was skipped, 2 usage, 4 no GPU.
set -uo pipefail

readonly TOTAL_S=525      # for all parts, packing included
readonly GRACE_S=20       # between SIGTERM and SIGKILL: a sweep that is told to end packs up
readonly PACK_S=15
readonly MIN_PART_S=20    # a part with less time than this is not worth starting
readonly MAX_ARCHIVE_BYTES=$((15 * 1024 * 1024))

readonly ALL_PARTS=(tests limits bench sweep-8b sweep-1b policies)
readonly DEFAULT_PARTS=(tests limits bench sweep-8b) # what fits into the time

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

# note PART RESULT SECONDS: one line of the summary
note() {
  rows+=("| $1 | $2 | $3 |")
  [[ $2 == passed ]] || failures=$((failures + 1))
  echo "gpu_check: $1: $2 ($3 s)"
}

# run_part PART LIMIT_S LOG COMMAND...: run the command within its limit and the time that is left
run_part() {
  local part=$1 limit_s=$2 log=$3 begin_s=$SECONDS left_s code=0
  shift 3
  left_s=$((TOTAL_S - PACK_S - GRACE_S - SECONDS))
  if ((left_s < MIN_PART_S)); then
    note "$part" "skipped: no time left" 0
    return
  fi
  ((limit_s <= left_s)) || limit_s=$left_s
  timeout -k "$GRACE_S" "$limit_s" "$@" >"$log" 2>&1 || code=$?
  case $code in
    0) note "$part" passed $((SECONDS - begin_s)) ;;
    124 | 137) note "$part" "failed: not done within $limit_s s (exit $code)" $((SECONDS - begin_s)) ;;
    *) note "$part" "failed: exit $code" $((SECONDS - begin_s)) ;;
  esac
  ((code == 0)) || tail -n 5 -- "$log"
}

# wanted PART: whether this part was asked for
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

# sweep NAME SCENARIO LIMIT_S OPTION...: one scenario on the GPU, and its pictures
sweep() {
  local name=$1 scenario=$2 limit_s=$3 folder=$work/$2-$1 picture
  shift 3
  run_part "sweep $scenario $name" "$limit_s" "$work/sweep-$scenario-$name.txt" "$python" -m \
    paretobench sweep "scenarios/$scenario.yaml" --device cuda --repeats 1 \
    --output-dir "$folder" "$@"
  for picture in frontier latency_by_class adaptive; do
    [[ ! -f $folder/$picture.png ]] ||
      cp -- "$folder/$picture.png" "$out/$picture-$scenario-$name.png"
  done
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
  local archive=$out/gpu_check.tar.gz
  [[ -d $work ]] || return 0
  tar -czf "$archive" -C "$work" .
  if (($(wc -c <"$archive") > MAX_ARCHIVE_BYTES)); then
    tar -czf "$archive" --exclude=trials -C "$work" .
    rows+=("| archive | raw trials left out: too large | |")
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
    if [[ -f $out/gpu-tests.txt ]]; then
      printf '## GPU tests\n\n```\n%s\n```\n\n' "$(tail -n 15 -- "$out/gpu-tests.txt")"
    fi
    if [[ -f $work/limits.txt ]]; then
      printf '## Limits\n\n```\n%s\n```\n\n' "$(cat -- "$work/limits.txt")"
    fi
    for log in "$work"/bench.txt "$work"/sweep-*.txt; do
      [[ ! -f $log ]] || printf '## %s\n\n```\n%s\n```\n\n' "${log##*/}" "$(tail -n 25 -- "$log")"
    done
    echo "$failures failed or skipped, $SECONDS s in all."
  } >"$out/summary.md"
}

finish() {
  trap - EXIT
  write_summary
  pack
  cat -- "$out/summary.md"
}
trap finish EXIT
trap 'note "the whole check" "failed: told to stop" "$SECONDS"; exit 143' TERM INT

rm -rf -- "$work"
mkdir -p -- "$work" || exit 2
describe_machine >"$out/machine.txt" 2>&1

if wanted tests; then
  run_part "gpu tests" 200 "$out/gpu-tests.txt" "$python" -m pytest -m gpu -rs -p no:cacheprovider \
    -W default # that machine's package versions may warn; here only the tests count
  grep -Eq '[0-9]+ passed' "$out/gpu-tests.txt" 2>/dev/null ||
    note "gpu tests ran" "failed: none passed, see gpu-tests.txt" 0
fi
! wanted limits || run_part "limits" 60 "$work/limits.txt" "$python" -m paretobench \
  limits --device cuda --seconds 25 --output-dir "$work/limits"
# `generate` with a static cache compiles itself for every batch size: few sizes, few rounds
! wanted bench || run_part "bench" 210 "$work/bench.txt" "$python" scripts/bench_runner.py \
  --preset llama-3.1-8b --device cuda --dtype bfloat16 --context 1024 --batch-sizes 1,16,64 \
  --rounds 2 --steps 24 --prefill 4x1024 --output-dir "$out/bench"
! wanted sweep-8b || sweep 8b batch_size_curve 150 --model llama-3.1-8b --dtype bfloat16
! wanted sweep-1b || sweep 1b batch_size_curve 120 --model llama-3.2-1b --dtype bfloat16
if wanted policies; then
  for scenario in longest_request mixed_traffic adaptive; do
    sweep 1b "$scenario" 150 --model llama-3.2-1b --dtype bfloat16
  done
  sweep mini shift_the_curve 120
fi

finish
((failures == 0)) || exit 1
