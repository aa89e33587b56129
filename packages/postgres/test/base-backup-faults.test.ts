// Base backups by stream that something happens to midway: a line that is cut near the beginning, in the middle, and just before the
// end; a standby that is promoted. Each fails; none is taken for whole, and the server keeps nothing of it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { baseBackup, connectPostgres } from '../src/index.ts';
import { startLine } from './line.ts';
import { installedServers, startStandby, startWalServer, type WalServer } from './wal-server.ts';

const binDir = installedServers.at(-1)?.binDir ?? '';

interface Received {
  readonly bytes: number;
  readonly kinds: readonly string[];
}

interface BackUpOptions {
  readonly port?: number;
  readonly maxRateKBps?: number;
  /** How many have come so far. */
  readonly onBytes?: (bytes: number) => Promise<void>;
}

/** Takes a backup and throws its bytes away. */
async function backUp(server: WalServer, options: BackUpOptions = {}): Promise<Received> {
  const { port = server.location.port, maxRateKBps, onBytes } = options;
  await using connection = await connectPostgres({ ...server.location, port, replication: 'database' });
  const kinds: string[] = [];
  let bytes = 0;
  for await (const part of baseBackup(connection, { label: 'faults', maxRateKBps })) {
    kinds.push(part.kind);
    const stream = part.kind === 'archive' ? part.tar : part.kind === 'manifest' ? part.json : [];
    for await (const piece of stream) {
      bytes += piece.length;
      await onBytes?.(bytes);
    }
  }
  return { bytes, kinds };
}

describe.skipIf(binDir === '')('a base backup', () => {
  let server: WalServer;

  beforeAll(async () => {
    server = await startWalServer({ binDir });
    await server.load();
  }, 60_000);

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('whose line is cut at 10, 50 or 99 % fails, and the next one is whole', { timeout: 120_000 }, async () => {
    await using line = await startLine(server.location.port);
    const { kinds } = await backUp(server, { port: line.port });
    expect(kinds.at(-1)).toBe('end');
    const total = line.receivedBytes;
    for (const part of [0.1, 0.5, 0.99]) {
      line.cutAfter(Math.floor(total * part));
      await expect(backUp(server, { port: line.port }), `${part * 100} %`).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        retry: true,
      });
    }
    expect((await backUp(server, { port: line.port })).kinds.at(-1)).toBe('end');
    expect(await server.sql('select count(*) from pg_replication_slots')).toEqual([['0']]);
  });

  test('of a standby that is promoted meanwhile fails', { timeout: 120_000 }, async () => {
    await server.stop();
    await using standby = await startStandby(server);
    await server.start();
    await standby.start();
    let isPromoted = false;
    const backup = backUp(standby, {
      maxRateKBps: 4096,
      onBytes: async (bytes) => {
        if (isPromoted || bytes < 100_000) return;
        isPromoted = true;
        await standby.sql('select pg_promote()');
      },
    });
    await expect(backup).rejects.toMatchObject({
      code: 'DATABASE_QUERY_FAILED',
      message: expect.stringContaining('promoted'),
    });
    expect(isPromoted).toBe(true);
    expect((await backUp(standby)).kinds.at(-1)).toBe('end');
  });
});
