// `node scripts/wal-serve.ts [--segments N] [--json]`: how many WAL segments a recovering server gets in a second from a local repository,
// by its own script, one after the other; for comparison, by `cp` from a folder. The log is that of a real server; no server replays it, so
// this is the upper bound. `--json`: the figures of `npm run bench`.

import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Secret } from '../packages/base/src/index.ts';
import { connectPostgres, WalExchange } from '../packages/postgres/src/index.ts';
import { createRepository, FileFetcher, startArchive } from '../packages/repository/src/index.ts';
import { openStorage } from '../packages/storage/src/index.ts';
import { startPostgres } from '../packages/testing/src/index.ts';

const { values: options } = parseArgs({
  options: { segments: { type: 'string', default: '100' }, json: { type: 'boolean', default: false } },
});
const segmentBytes = 16 * 1024 * 1024;
const folder = await mkdtemp(join(tmpdir(), 'varve-wal-serve-'));

try {
  const repository = await createRepository({
    storage: openStorage(join(folder, 'repository')),
    password: new Secret('measured'),
  });
  const tree = await saveLog(repository, Number(options.segments));
  await serve(repository, tree);
  await repository[Symbol.asyncDispose]();
} finally {
  await rm(folder, { recursive: true, force: true });
}

type Opened = Awaited<ReturnType<typeof createRepository>>;

async function saveLog(
  repository: Opened,
  count: number,
): Promise<{ readonly id: string; readonly names: string[]; readonly storedBytes: number }> {
  await using server = await startPostgres({
    settings: { fsync: 'off', wal_keep_size: '100GB', max_wal_size: '10GB' },
  });
  const { host, port, user, password } = server;
  {
    await using connection = await connectPostgres({
      host,
      port,
      user,
      password: new Secret(password),
      database: 'postgres',
    });
    await connection.query('CREATE TABLE rows (id bigserial PRIMARY KEY, customer int, amount numeric, note text)');
    while ((await segmentsOf(server.dataDir)).length < count + 1) {
      await connection.query(
        'INSERT INTO rows (customer, amount, note) SELECT n % 997, n * 1.25, md5(n::text) FROM generate_series(1, 100000) n',
      );
      await connection.query('UPDATE rows SET amount = amount + 1 WHERE id % 10 = 0');
    }
  }
  const names = (await segmentsOf(server.dataDir)).slice(0, count);
  await mkdir(join(folder, 'plain'));
  for (const name of names) await copyFile(join(server.dataDir, 'pg_wal', name), join(folder, 'plain', name));
  await using session = await startArchive(repository, { workers: 2 });
  for (const name of names) {
    const path = join(server.dataDir, 'pg_wal', name);
    await session.addStream({
      target: `/wal/${name}`,
      source: piecesOf(path),
      sizeBytes: (await stat(path)).size,
      pageChunkBytes: 1024 * 1024,
    });
  }
  const { snapshot } = await session.commit({
    time: new Date(),
    hostname: 'bench',
    paths: ['/wal'],
    tags: [],
    programVersion: 'bench',
  });
  return { id: snapshot.tree, names, storedBytes: snapshot.summary?.dataAddedPacked ?? 0 };
}

async function segmentsOf(dataDir: string): Promise<string[]> {
  return (await readdir(join(dataDir, 'pg_wal'))).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted();
}

async function* piecesOf(path: string): AsyncGenerator<Uint8Array> {
  await using file = await open(path, 'r');
  for (;;) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(segmentBytes), 0, segmentBytes, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function serve(
  repository: Opened,
  tree: { readonly id: string; readonly names: string[]; readonly storedBytes: number },
): Promise<void> {
  const place = join(folder, 'exchange');
  await mkdir(join(folder, 'pg_wal'));
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  await using fetcher = await FileFetcher.open(repository);
  await using exchange = await WalExchange.start({
    folder: place,
    sequence: tree.names,
    source: {
      open: async (name, signal) => ({
        writeTo: async (target) => {
          await fetcher.fetch({ treeId: tree.id, path: `/wal/${name}`, target, signal });
        },
      }),
    },
    segmentBytes,
    owner: undefined,
  });
  for (const name of tree.names) await fetchOne(name);
  const wallSeconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const cpuSeconds = (user + system) / 1e6;
  const copied = { wallSeconds: await copyAll(tree.names), cpuSeconds: NaN, peakMegabytes: NaN };
  if (options.json) {
    console.log(JSON.stringify({ served: { wallSeconds, cpuSeconds, peakMegabytes: NaN }, copied }));
    return;
  }
  const count = tree.names.length;
  console.log(
    `${cpus()[0]?.model.trim()}, ${cpus().length} cores; ${count} segments, ${(tree.storedBytes / 1e6).toFixed(0)} MB stored`,
  );
  console.log(
    `${(count / wallSeconds).toFixed(1)} segments/s (${wallSeconds.toFixed(2)} s, ${((cpuSeconds * 1000) / count).toFixed(0)} ms of processor time in this process for each), ${exchange.servedCount} served; by cp ${(count / copied.wallSeconds).toFixed(1)}/s`,
  );

  async function fetchOne(name: string): Promise<void> {
    await runShell([exchange.script, name, join(folder, 'pg_wal', 'RECOVERYXLOG')]);
  }
}

/** Seconds. */
async function copyAll(names: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  for (const name of names) {
    await runShell(['-c', `cp '${join(folder, 'plain', name)}' '${join(folder, 'pg_wal', 'RECOVERYXLOG')}'`]);
  }
  return (performance.now() - startedAt) / 1000;
}

async function runShell(parameters: readonly string[]): Promise<void> {
  const child = spawn('sh', parameters, { stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`sh ${parameters.join(' ')} ended with ${code}`);
}
