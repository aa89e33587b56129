// The way to a PostgreSQL server through its container, where no network leads to it: a process that `docker exec` starts
// connects to the server inside and passes bytes between it and its own standard input and output. It uses what images
// have: bash, socat, nc or perl.

import type { Container, DockerEngine } from '@varve/docker';
import type { PostgresStream } from '@varve/postgres';

/** How the scripts say that nothing listens there. */
const refusedExitCode = 41;

/**
 * $1: port. Bash itself connects; two `cat` pass the bytes. When either side ends, the other is ended too, so that no
 * session of the server is left behind when the exec's standard input closes. Bash manual: "Redirections" (/dev/tcp).
 */
const bashRelay = `
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit ${refusedExitCode}
exec 4<&0 0</dev/null
cat <&3 & reader=$!
cat <&4 >&3 & writer=$!
exec 4<&-
wait -n
kill $reader $writer 2>/dev/null
wait
exit 0`;

/** Argument: a port, or the path of a Unix socket. */
const perlRelay = `
use strict; use Socket;
my $to = shift; my $s;
my $there = $to =~ m{^/}
  ? socket($s, PF_UNIX, SOCK_STREAM, 0) && connect($s, sockaddr_un($to))
  : socket($s, PF_INET, SOCK_STREAM, 0) && connect($s, sockaddr_in($to, INADDR_LOOPBACK));
if (!$there) { print STDERR "$to: $!\\n"; exit ${refusedExitCode} }
my $writer = fork;
if (!$writer) { pass(\\*STDIN, $s); shutdown($s, 1); exit 0 }
pass($s, \\*STDOUT);
kill 'TERM', $writer;
exit 0;
sub pass {
  my ($in, $out) = @_;
  while (my $n = sysread($in, my $bytes, 65536)) {
    for (my $at = 0; $at < $n;) {
      my $written = syswrite($out, $bytes, $n - $at, $at);
      return unless defined $written;
      $at += $written;
    }
  }
}`;

/** $1: port, $2: the relay for bash, $3: that for perl. */
const portRelay = `
has() { command -v "$1" >/dev/null 2>&1; }
if has bash; then exec bash --norc --noprofile -c "$2" bash "$1"; fi
if has socat; then exec socat - "TCP:127.0.0.1:$1"; fi
if has nc; then exec nc 127.0.0.1 "$1"; fi
if has perl; then exec perl -e "$3" "$1"; fi
echo 'the image has no bash, socat, nc or perl to reach the server with' >&2
exit 127`;

/** The same by the server's socket, which bash cannot open. */
const socketRelay = `
has() { command -v "$1" >/dev/null 2>&1; }
for folder in /var/run/postgresql /tmp; do
  socket="$folder/.s.PGSQL.$1"
  [ -S "$socket" ] || continue
  if has perl; then exec perl -e "$3" "$socket"; fi
  if has socat; then exec socat - "UNIX-CONNECT:$socket"; fi
  echo 'the image has no perl or socat to open the socket with' >&2
  exit 127
done
echo "there is no socket .s.PGSQL.$1 in /var/run/postgresql or /tmp" >&2
exit ${refusedExitCode}`;

/** How the relay connects inside: pg_hba.conf may treat the two differently. */
export type RelayTarget = 'port' | 'socket';

/** The program that a stream runs in the container. No secret is in it: what it passes on comes by its standard input. */
export function relayCommand(port: number, to: RelayTarget): readonly string[] {
  return ['sh', '-c', to === 'port' ? portRelay : socketRelay, 'sh', String(port), bashRelay, perlRelay];
}

/** Streams to the server on `port` of a container; a process of the container's own user for each. */
export function containerRelay(
  docker: DockerEngine,
  container: Pick<Container, 'id' | 'name'>,
  { port, to }: { readonly port: number; readonly to: RelayTarget },
): PostgresStream {
  return {
    address:
      to === 'port' ? `port ${port} in container ${container.name}` : `the socket in container ${container.name}`,
    isPrivate: true,
    open: async ({ signal }) => {
      // The signal ends the opening only: the session outlives it.
      const stream = await docker.execStream(container.id, { command: relayCommand(port, to) });
      if (signal.aborted) stream.destroy();
      return stream;
    },
  };
}
