#!/bin/bash
# A sweep as a job of Slurm: Ray on the job's nodes, the sweep on the first, and a clean end before the
# time limit, from where the next job goes on.
#
# 1. On the login node, in a folder that all nodes share: the checkout with its .venv (`make setup`), or
#    any folder, with the environment active that has the package. Without internet on the nodes, fetch
#    models and data first: python -m orchestrator.assets fetch --space paper --to paper_assets
# 2. Submit it, with what your cluster asks for. All after the file's name is given to
#    `python -m orchestrator.sweep`:
#      sbatch --nodes=2 --gpus-per-node=4 --cpus-per-task=32 --mem=128G --time=24:00:00 \
#        cluster-slurm.sh --space paper --assets paper_assets --store /YOUR-SHARED-FOLDER/results
#    More than one job needs: the same line with --array=1-5. They run one after the other, each goes
#    on where the last one stopped, and what is left of them when all is done ends within a minute.
# 3. Look at it, on the login node:
#      python -m orchestrator.sweep --status ...           with the sweep's own options
#      tail -f slurm-JOB.out
# 4. scancel JOB         the sweep stops within seconds; what is done is kept
#
# One sweep a store: jobs of one name wait for each other (`singleton` below), and a second sweep on a
# store is refused. To run sweeps on two stores at once, give one of them another --job-name.
# The job's exit code is the sweep's: 0 all cells done, 1 some are not, 2 bad input.

#SBATCH --job-name=robustness-sweep
#SBATCH --dependency=singleton
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
# Ten minutes before the time limit nothing more is begun; attacks stop at their next example, fits may
# still end.
#SBATCH --signal=B:USR1@600

LAST=60  # seconds before the time limit, when fits are stopped too and the report is written
AGAIN=10  # seconds after which Slurm is asked again, if it did not answer

fail() {  # fail CODE LINE: end with one line
  echo "error: $2" >&2
  exit "$1"
}

find_python() {
  if [ -x .venv/bin/python ]; then PATH="$PWD/.venv/bin:$PATH"; fi
  local found='import sys, importlib.util as u; sys.exit(u.find_spec("orchestrator") is None)'
  if ! { command -v ray && python -c "$found"; } > /dev/null 2>&1; then
    fail 2 "node $(hostname) has no Python with this package, neither in $PWD/.venv nor on the PATH;\
 submit from a checkout in a folder that the nodes share, after \`make setup\` there"
  fi
}

time_limit() {  # the job's, in seconds since 1970; `none` if it has none; fails if Slurm does not answer
  local end
  end=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2> /dev/null) && [ -n "$end" ] || return
  date --date="$end" +%s 2> /dev/null || echo none
}

until_ended() {  # until_ended PID: its exit code, whatever signals are handled meanwhile
  local code again
  wait "$1"
  code=$?
  while kill -0 "$1" 2> /dev/null; do
    wait "$1"
    code=$?
  done
  wait "$1" 2> /dev/null
  again=$?  # It may have ended while a signal was handled.
  if [ "$again" != 127 ]; then code=$again; fi
  return "$code"
}

# On every node, by srun: Ray, until it is told to end. Knows none of the other functions. `ray
# symmetric-run` does not suit: it refuses a node on which any Ray runs, its `ray stop` ends those of other
# jobs, and a SIGTERM ends it at once.
run_ray() {  # run_ray FOLDER HEAD-NODE HEAD PORT CLIENT-PORT DASHBOARD-PORT
  local folder=$1 head_node=$2 head=$3 port=$4 client_port=$5 dashboard_port=$6
  local cpus gpus memory ray options=() ended=''
  if ! command -v ray > /dev/null; then
    echo "error: node $(hostname) has no \`ray\` on its PATH: do all nodes see $PWD and the environment?" >&2
    return 2
  fi
  # One that is left is of this job, from before it was requeued.
  if [ -O "$folder" ]; then rm -rf "$folder"; fi
  if ! mkdir -m 700 "$folder"; then return 2; fi  # Ray lets everybody write into its own.

  cpus=$(nproc)
  if [ "${SLURM_CPUS_ON_NODE:-$cpus}" -lt "$cpus" ]; then cpus=$SLURM_CPUS_ON_NODE; fi
  # Only what Slurm gave the job: where nothing hides a node's other GPUs, Ray would take them too.
  gpus=${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-}}
  gpus=${SLURM_GPUS_ON_NODE:-$(tr ',' '\n' <<< "$gpus" | grep -c .)}
  memory=$((${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * cpus))} * 1048576))  # 0: no limit
  if [ "$memory" -gt 0 ]; then  # Divided as Ray divides what it finds.
    options+=(--memory=$((memory * 7 / 10)) --object-store-memory=$((memory * 3 / 10)))
  fi
  if [ "$SLURMD_NODENAME" = "$head_node" ]; then
    options+=(--head --node-ip-address="$head" --port="$port" --ray-client-server-port="$client_port"
      --include-dashboard=false --dashboard-port="$dashboard_port")
  else
    options+=(--address="$head:$port")
  fi

  ulimit -n "$(ulimit -Hn)"
  # Ports as they are free: other jobs, and other people's, have Ray on this node too.
  setsid ray start --block --temp-dir="$folder/r" --num-cpus="$cpus" --num-gpus="$gpus" \
    --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 \
    "${options[@]}" > "$folder/start.log" 2>&1 &
  ray=$!
  trap 'ended=yes; exec 2> /dev/null; kill "$ray"; (sleep 5; kill -KILL "-$ray") > /dev/null &' TERM USR2
  until wait "$ray" || ! kill -0 "$ray" 2> /dev/null; do :; done
  if [ -z "$ended" ]; then
    echo "error: node $(hostname): Ray has ended: $(tail -n 3 "$folder/start.log")" >&2
  fi
  kill -KILL "-$ray" 2> /dev/null
  for _ in 1 2 3; do  # Its workers end when it is gone.
    sleep 0.5
    rm -rf "$folder" 2> /dev/null && break
  done
  [ -n "$ended" ]
}

# Stop the sweep before Slurm does; the limit may be moved while it runs. Where Slurm does not answer,
# the last known one counts.
stop_in_time() {  # stop_in_time PID LIMIT
  local left found limit=$2 nap=''
  trap 'if [ -n "$nap" ]; then kill "$nap"; fi; exit' TERM
  while [ "$limit" != none ]; do
    left=$AGAIN
    if [ -n "$limit" ]; then
      left=$((limit - LAST - $(date +%s)))
      if [ "$left" -le 0 ]; then
        kill -TERM "$1" 2> /dev/null
        return
      fi
      left=$((left < 60 ? left : 60))
    fi
    sleep "$left" > /dev/null 2>&1 &  # One that outlives this function keeps no output open.
    nap=$!
    wait "$nap"
    if found=$(time_limit); then limit=$found; fi
  done
}

main() {
  if [ -z "${SLURM_JOB_ID:-}" ] || [ -z "${SLURMD_NODENAME:-}" ] || ! command -v srun > /dev/null; then
    fail 2 "this is no job of Slurm; submit it: sbatch --nodes=2 --time=24:00:00 cluster-slurm.sh ..."
  fi
  find_python
  python -m orchestrator.cluster.slurm check "$@" || exit

  # Other users of the cluster reach Ray's ports: without the token they can do nothing there.
  RAY_AUTH_MODE=token
  RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  export RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
  unset RAY_ADDRESS

  local nodes=$SLURM_JOB_NUM_NODES names place limit='' left='' cpus=(--cpu-bind=none) budget=()
  mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
  # An address and three ports.
  place=$(python -m orchestrator.cluster.slurm place "${names[@]:1:1}") || exit
  read -r -a place <<< "$place"
  if [ "$nodes" = 1 ]; then export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0; fi  # Only 127.0.0.1.
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then cpus=(--cpus-per-task="$SLURM_CPUS_PER_TASK"); fi

  local address=${place[0]}:${place[1]} ray='' joined='' sweep='' watch='' told='' code
  trap 'told=yes; if [ -n "$sweep" ]; then kill -USR1 "$sweep" 2> /dev/null; fi' USR1
  trap 'told=yes; if [ -n "$sweep$joined" ]; then kill -TERM "${sweep:-$joined}" 2> /dev/null; fi' TERM INT
  srun --quiet --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 "${cpus[@]}" \
    --export=ALL --kill-on-bad-exit=0 --wait=0 \
    bash -c "$(declare -f run_ray); run_ray \"\$@\"" ray \
    "/tmp/sweep-$SLURM_JOB_ID" "$SLURMD_NODENAME" "${place[@]}" &
  ray=$!
  python -m orchestrator.cluster.slurm joined "$address" "$nodes" &
  joined=$!
  while kill -0 "$joined" 2> /dev/null && kill -0 "$ray" 2> /dev/null; do wait -n "$ray" "$joined"; done
  if kill -0 "$ray" 2> /dev/null; then
    until_ended "$joined"
    code=$?
  else
    kill "$joined" 2> /dev/null
    code=2  # It has said why.
  fi
  joined=''
  for _ in 1 2 3 4 5 6; do
    if [ "$code" != 0 ] || [ -n "$told" ] || limit=$(time_limit); then break; fi
    sleep "$AGAIN"
  done
  if [ -n "$limit" ] && [ "$limit" != none ]; then
    left=$((limit - $(date +%s)))
    budget=(--budget "$((left - 2 * LAST))s")
  fi
  if [ "$code" = 0 ] && [ -z "$told" ] && [ "${left:-999}" -gt $((2 * LAST)) ]; then
    echo "$(date '+%F %T') job $SLURM_JOB_ID on $SLURM_JOB_NODELIST${left:+, $((left / 60)) min left}"
    python -m orchestrator.sweep "${budget[@]}" "$@" --ray-address "$address" &
    sweep=$!
    stop_in_time "$sweep" "$limit" &
    watch=$!
    until_ended "$sweep"
    code=$?
    sweep=''
    kill "$watch" 2> /dev/null
  elif [ "$code" = 0 ]; then
    echo "stopped before anything was begun: the time limit is near" >&2
    code=1
  fi
  case $code in
    0 | 2) ;;
    *) echo "the next job of the array, or the same sbatch line again, goes on from there" >&2 ;;
  esac
  # Not srun itself, which would kill Ray at once; and TERM would be logged as an error.
  scancel --quiet --signal=USR2 "$SLURM_JOB_ID.0" 2> /dev/null
  until_ended "$ray"
  return "$code"
}

main "$@"
