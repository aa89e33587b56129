// A line to a server that can be held still, either way or one way, cut, or left half open: a TCP relay.

import { createServer, connect as connectTcp, type Socket } from 'node:net';

export interface Line extends AsyncDisposable {
  readonly port: number;
  /** Connections that were made so far. */
  readonly count: number;
  /** What is sent from now on is lost: both ways, or only what the client says, or only what the server says. */
  freeze(which?: 'both' | 'client' | 'server'): void;
  /** The connections that were held still end, new ones are whole. */
  thaw(): void;
  cut(): void;
  /** The client's side ends; the server is not told. */
  leaveHalfOpen(): void;
  /** After so many more bytes of the server all connections are cut, once. */
  cutAfter(bytes: number): void;
  /** Bytes that the server has sent. */
  readonly receivedBytes: number;
}

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  isHalfOpen: boolean;
}

export async function startLine(port: number): Promise<Line> {
  const pairs = new Set<Pair>();
  let frozen: 'both' | 'client' | 'server' | undefined;
  let count = 0;
  let received = 0;
  let cutAt = Number.POSITIVE_INFINITY;
  const cut = (): void => {
    for (const { client, upstream } of pairs) {
      client.destroy();
      upstream.destroy();
    }
  };
  const join = (pair: Pair, side: 'client' | 'server'): void => {
    const [from, to] = side === 'client' ? [pair.client, pair.upstream] : [pair.upstream, pair.client];
    from.on('data', (chunk) => {
      if (side === 'server') received += chunk.length;
      // What was sent into a dead line never arrives.
      if (frozen !== 'both' && frozen !== side && !to.destroyed) to.write(chunk);
      if (received < cutAt) return;
      cutAt = Number.POSITIVE_INFINITY;
      cut();
    });
    from.on('error', () => {});
    from.on('close', () => {
      if (side === 'client' && pair.isHalfOpen) return;
      pairs.delete(pair);
      to.destroy();
    });
  };
  const listener = createServer((client) => {
    count++;
    const pair = { client, upstream: connectTcp({ host: '127.0.0.1', port }), isHalfOpen: false };
    pairs.add(pair);
    join(pair, 'client');
    join(pair, 'server');
  });
  await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    get count() {
      return count;
    },
    get receivedBytes() {
      return received;
    },
    freeze: (which = 'both') => {
      frozen = which;
    },
    thaw: () => {
      cut();
      frozen = undefined;
    },
    cut,
    leaveHalfOpen: () => {
      for (const pair of pairs) {
        pair.isHalfOpen = true;
        pair.client.destroy();
      }
    },
    cutAfter: (bytes) => {
      cutAt = received + bytes;
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise((resolve) => void listener.close(resolve));
    },
  };
}
