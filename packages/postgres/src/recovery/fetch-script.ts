// The shell script that a recovering server calls for each file of the log (`restore_command`), for any POSIX shell, busybox's
// too. It asks by a file in the exchange folder and waits for the answer. The server takes exit codes from 1 to 125 for "there
// is no such file", so "absent" is one code of its own, and whatever else happens ends with one above 125, which stops the
// server instead of ending the recovery early. Manual: "Recovering Using a Continuous Archive Backup".

/** Exit code of the script for a file that is proven not to be there. */
const absentCode = 77;

/** Names in the exchange folder. */
export const exchangeNames = {
  script: 'fetch',
  /** One file for each that is asked for. */
  asked: 'asked',
  /** Files that are there, under their names; whoever takes one moves it away. */
  ready: 'ready',
  /** Empty files with the names of those that are proven not to be there. */
  absent: 'absent',
  /** Files with the reason why the one of this name cannot be had. */
  failed: 'failed',
  /** Written anew every second while there is somebody who answers. */
  alive: 'alive',
  /** The recovery is over: what is not ready is absent. */
  closed: 'closed',
} as const;

/** The script; `patienceSeconds` without a sign of life from whoever answers, and it gives up. */
export function fetchScript(patienceSeconds: number): string {
  const { asked, ready, absent, failed, alive, closed } = exchangeNames;
  // 50 polls of 20 ms are a second; where sleep takes whole seconds only, one poll counts for 50.
  return `#!/bin/sh
# Gets a file of the write-ahead log from Varve. Arguments: its name, where to put it.
dir=\${0%/*}
name=$1
target=$2
asked=no
waited=0
last=none
while true; do
  if test -f "$dir/${ready}/$name"; then
    # In this order: a question that outlives its answer would be answered again.
    test $asked = no || rm -f "$dir/${asked}/$name"
    mv -f "$dir/${ready}/$name" "$target" || exit 200
    exit 0
  fi
  if test -f "$dir/${absent}/$name"; then exit ${absentCode}; fi
  if test -f "$dir/${failed}/$name"; then
    cat "$dir/${failed}/$name" >&2
    exit 201
  fi
  if test -f "$dir/${closed}"; then exit ${absentCode}; fi
  if test $asked = no; then
    echo "$name" >"$dir/${asked}/$name" || exit 202
    asked=yes
  fi
  beat=gone
  read -r beat <"$dir/${alive}" || exit 203
  if test "$beat" = "$last"; then
    if test $waited -ge ${patienceSeconds * 50}; then
      echo "varve does not answer any more: $name was not delivered" >&2
      exit 204
    fi
  else
    last=$beat
    waited=0
  fi
  if sleep 0.02 2>/dev/null; then
    waited=$((waited + 1))
  else
    sleep 1 || exit 205
    waited=$((waited + 50))
  fi
done
`;
}

/** The setting that calls the script. `script` is its path as the server sees it. */
export function restoreCommand(script: string): string {
  const path = `'${script.replaceAll("'", `'\\''`)}'`.replaceAll('%', '%%');
  return `sh ${path} '%f' '%p'; code=$?; test $code -eq 0 && exit 0; test $code -eq ${absentCode} && exit 1; exit 255`;
}
