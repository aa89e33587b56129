import { randomBytes } from 'node:crypto';
import { appendFile, chmod, mkdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, isAppError } from '@varve/base';
import { backupPaths, checkRepository, openRepository, type CheckReport, type Repository } from '@varve/repository';
import { FaultyStorage } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { parseHeader } from '../src/pack/pack-header.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { encodeGoJson } from '../src/store/go-json.ts';
import { resticPassword, ScratchFolder } from './restic-oracle.ts';
import { change, packPath, storePack } from './small-repository.ts';

vi.setConfig({ testTimeout: 60_000 });

const password = new Secret(resticPassword);
const time = '2026-01-02T03:04:05Z';

interface SmallRepository {
  readonly repository: Repository;
  readonly content: Buffer;
  readonly contentId: string;
  readonly dataPack: string;
  readonly treePack: string;
}

function treeOf(content: readonly string[]): Buffer {
  const node = {
    name: 'file',
    type: 'file',
    mode: 420,
    mtime: time,
    atime: time,
    ctime: time,
    uid: 0,
    gid: 0,
    size: 1,
    content,
  };
  return Buffer.from(`${JSON.stringify({ nodes: [node] })}\n`);
}

/** A snapshot of one file with one blob, in two packs. */
async function makeSmall(folder: ScratchFolder): Promise<SmallRepository> {
  const repository = await folder.createRepository();
  const content = Buffer.concat([Buffer.from('text '.repeat(300)), randomBytes(500)]);
  const contentId = repository.engine.sha256(content).toString('hex');
  const dataPack = await storePack(repository, 'data', [content, randomBytes(300)]);
  const tree = treeOf([contentId]);
  const treePack = await storePack(repository, 'tree', [tree]);
  await repository.saveSnapshot({ time, tree: repository.engine.sha256(tree).toString('hex'), paths: ['/x'] });
  return { repository, content, contentId, dataPack, treePack };
}

const codes = ({ errors }: CheckReport): string[] => errors.map(({ code }) => code);

describe('a check with data', () => {
  test('finds packs whose contents were exchanged', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack } = await makeSmall(folder);
    const other = await storePack(repository, 'data', [randomBytes(100)]);
    const [a, b] = [await readFile(packPath(folder, dataPack)), await readFile(packPath(folder, other))];
    await change(packPath(folder, dataPack), () => b);
    await change(packPath(folder, other), () => a);
    expect(codes(await checkRepository(repository, { readData: true }))).toContain('PACK_DAMAGED');
  });

  test('names the blob and the pack that are damaged, with workers as without', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack, contentId } = await makeSmall(folder);
    await change(packPath(folder, dataPack), (bytes) => (bytes.writeUInt8(bytes[30]! ^ 1, 30), bytes));
    for (const workers of [0, 2]) {
      const report = await checkRepository(repository, { readData: true, workers });
      expect(report.errors).toContainEqual(
        expect.objectContaining({ code: 'BLOB_DAMAGED', id: contentId, message: expect.stringContaining(dataPack) }),
      );
      expect(report.errors).toContainEqual(expect.objectContaining({ code: 'PACK_DAMAGED', id: dataPack }));
      expect(report.errorCount).toBe(2);
    }
  });

  test('can be cancelled', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSmall(folder);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const check = checkRepository(repository, { readData: true, signal: controller.signal, onProgress });
    await expect(check).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('a check of the structure', () => {
  test('finds a pack that was cut short, that grew, or that is gone', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack } = await makeSmall(folder);
    const path = packPath(folder, dataPack);
    await chmod(path, 0o600);
    await appendFile(path, 'x');
    expect(codes(await checkRepository(repository))).toEqual(['PACK_SIZE_WRONG']);
    await truncate(path, 100);
    expect(codes(await checkRepository(repository))).toEqual(['PACK_SIZE_WRONG']);
    await rm(path);
    expect(codes(await checkRepository(repository))).toEqual(['PACK_MISSING']);
  });

  test('finds that the index lost what snapshots need', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSmall(folder);
    for (const { name } of await repository.listFiles('index')) await rm(join(folder.repo, 'index', name));
    const report = await checkRepository(repository);
    expect(codes(report)).toEqual(['TREE_MISSING']);
    expect(report.warnings.map(({ code }) => code)).toEqual(['PACK_NOT_INDEXED', 'PACK_NOT_INDEXED']);
  });

  test('finds a file whose content is missing, once for each blob', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSmall(folder);
    const gone = 'ab'.repeat(32);
    const tree = treeOf([gone, gone]);
    await storePack(repository, 'tree', [tree]);
    await repository.saveSnapshot({ time, tree: repository.engine.sha256(tree).toString('hex'), paths: ['/y'] });
    const { errors } = await checkRepository(repository);
    expect(errors).toEqual([{ code: 'BLOB_MISSING', id: gone, message: expect.stringContaining('"file"') }]);
  });

  test('takes the rest of an interrupted run for an oddity, not for damage', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSmall(folder);
    const pack = await storePack(repository, 'data', [randomBytes(10)], false);
    const report = await checkRepository(repository, { readData: true });
    expect(report).toMatchObject({ errorCount: 0, warnings: [{ code: 'PACK_NOT_INDEXED', id: pack }] });
  });

  test('tells when a pack is in several index files', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack } = await makeSmall(folder);
    const header = Buffer.alloc(41);
    header.writeUInt8(2);
    header.writeUInt32LE(40, 1);
    await repository.saveIndexFile([{ packId: dataPack, header }]);
    expect((await checkRepository(repository)).warnings).toContainEqual(
      expect.objectContaining({ code: 'INDEX_DUPLICATE', id: dataPack }),
    );
  });

  test('reads everything from the storage, whatever was read before', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSmall(folder);
    const [snapshot] = await repository.listSnapshots();
    await change(join(folder.repo, 'snapshots', snapshot!.id), (bytes) => bytes.subarray(1));
    expect(codes(await checkRepository(repository))).toEqual(['SNAPSHOT_DAMAGED']);
  });
});

describe('a blob', () => {
  test('is read from another copy when one is damaged or gone', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, content, contentId, dataPack } = await makeSmall(folder);
    const second = await storePack(repository, 'data', [randomBytes(10), content]);
    expect(
      repository.index
        .lookupAll('data', contentId)
        .map(({ packId }) => packId)
        .sort(),
    ).toEqual([dataPack, second].sort());
    await change(packPath(folder, dataPack), (bytes) => bytes.fill(7, 20, 30));
    expect(Buffer.compare(await repository.loadBlob('data', contentId), content)).toBe(0);
    await rm(packPath(folder, dataPack));
    expect(Buffer.compare(await repository.loadBlob('data', contentId), content)).toBe(0);
    await rm(packPath(folder, second));
    await expect(repository.loadBlob('data', contentId)).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    await expect(repository.loadBlob('tree', contentId)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  test('and every other file is fetched once more when the way here damaged it', async () => {
    await using folder = await ScratchFolder.create();
    const { content, contentId } = await makeSmall(folder);
    const flipped = new Set<string>();
    const flipsLoad = ({ type, name }: { type: string; name: string }): boolean => {
      if (type === 'config' || type === 'key' || flipped.has(name)) return false;
      flipped.add(name);
      return true;
    };
    const storage = new FaultyStorage(folder.storage(), { failingCall: 0, kind: 'before', flipsLoad });
    const repository = await openRepository({ storage, password });
    expect(await repository.listSnapshots()).toHaveLength(1);
    await repository.loadIndex();
    expect(Buffer.compare(await repository.loadBlob('data', contentId), content)).toBe(0);
    expect(flipped.size).toBe(4);
  });
});

describe('a snapshot file that is damaged', () => {
  test('stops neither backups nor the search for others, but for the latest', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSmall(folder);
    const [good] = await repository.listSnapshots();
    const source = join(folder.path, 'source');
    await mkdir(source);
    const { snapshot: bad } = await backupPaths(repository, { paths: [source], hostname: 'host' });
    await change(join(folder.repo, 'snapshots', bad?.id ?? ''), (bytes) => bytes.fill(1, 40, 50));
    await using fresh = await openRepository({ storage: folder.storage(), password });
    await expect(fresh.listSnapshots()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect((await fresh.findSnapshot(good?.id.slice(0, 8) ?? '')).id).toBe(good?.id);
    await expect(fresh.findSnapshot('latest')).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(fresh.findSnapshot(bad?.id ?? '')).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    const { snapshot, problems } = await backupPaths(fresh, { paths: [source], hostname: 'host' });
    expect(problems).toEqual([]);
    expect(snapshot).not.toBeNull();
  });
});

describe('a config', () => {
  async function withConfig(edit: (config: Record<string, unknown>) => unknown): Promise<string> {
    await using folder = await ScratchFolder.create();
    const { cipher } = await folder.createRepository();
    await change(join(folder.repo, 'config'), (bytes) => {
      const config = JSON.parse(Buffer.from(cipher.open(bytes, 'it')).toString()) as Record<string, unknown>;
      return cipher.seal(encodeGoJson(edit(config)));
    });
    return await openRepository({ storage: folder.storage(), password }).then(
      () => 'opened',
      (error: unknown) => (isAppError(error) ? error.code : String(error)),
    );
  }

  test('may have fields that we do not know', async () => {
    expect(await withConfig((config) => ({ ...config, append_only: true, compression: 3 }))).toBe('opened');
  });

  test('of a format that we cannot read is refused', async () => {
    for (const version of [0, 3, '2', undefined]) {
      expect(await withConfig((config) => ({ ...config, version }))).toBe('REPOSITORY_VERSION_UNSUPPORTED');
    }
  });

  test('with a wrong id or a polynomial that does not cut safely is refused', async () => {
    const changes = [
      { id: 'abc' },
      { chunker_polynomial: '0' },
      { chunker_polynomial: '20000000000002' },
      { chunker_polynomial: '3da3358b4dc1730' },
      { chunker_polynomial: 'xyz' },
      { chunker_polynomial: 7 },
    ];
    for (const fields of changes)
      expect(await withConfig((config) => ({ ...config, ...fields }))).toBe('REPOSITORY_DAMAGED');
    expect(await withConfig(() => [])).toBe('REPOSITORY_DAMAGED');
  });
});

describe('a key file', () => {
  async function withKey(edit: (key: Record<string, unknown>) => unknown): Promise<string> {
    await using folder = await ScratchFolder.create();
    const { engine, storage } = await folder.createRepository();
    const [old] = await Array.fromAsync(storage.list('key'));
    const key = JSON.parse((await readFile(join(folder.repo, 'keys', old!.name))).toString()) as Record<
      string,
      unknown
    >;
    const bytes = Buffer.from(JSON.stringify(edit(key)));
    await storage.remove({ type: 'key', name: old!.name });
    await storage.save({ type: 'key', name: engine.sha256(bytes).toString('hex') }, bytes);
    const start = performance.now();
    return await openRepository({ storage: folder.storage(), password }).then(
      () => 'opened',
      (error: unknown) => {
        // What it asks for must not have been run.
        expect(performance.now() - start).toBeLessThan(2000);
        return isAppError(error) ? `${error.code}: ${error.message}` : String(error);
      },
    );
  }

  test('opens without the fields that other programs leave out', async () => {
    expect(await withKey(({ kdf, N, r, p, salt, data }) => ({ kdf, N, r, p, salt, data }))).toBe('opened');
  });

  test('that asks for absurd work or memory is refused without doing it', async () => {
    for (const [N, r, p] of [
      [2 ** 30, 8, 1],
      [2 ** 15, 2 ** 20, 1],
      [2 ** 15, 8, 2 ** 20],
      [2, 1, 2 ** 30],
      [2 ** 17, 64, 8],
    ] as const) {
      expect(await withKey((key) => ({ ...key, N, r, p }))).toMatch(/^REPOSITORY_DAMAGED: .*more than is safe to run/);
    }
  });

  test('with parameters that are none is refused', async () => {
    const changes = [
      { N: 1000 },
      { N: 0 },
      { N: 1 },
      { r: -1 },
      { p: 1.5 },
      { N: '1024' },
      { kdf: 'pbkdf2' },
      { salt: 'AAAA' },
      { data: 3 },
    ];
    for (const fields of changes)
      expect(await withKey((key) => ({ ...key, ...fields }))).toMatch(/^REPOSITORY_DAMAGED/);
    expect(await withKey((key) => ({ ...key, data: 'AAAA' }))).toMatch(/^REPOSITORY_PASSWORD_WRONG/);
  });

  test('that is damaged does not keep another from opening', async () => {
    await using folder = await ScratchFolder.create();
    const { storage } = await folder.createRepository();
    await storage.save({ type: 'key', name: '00'.repeat(32) }, Buffer.from('nonsense'));
    expect((await openRepository({ storage: folder.storage(), password })).version).toBe(2);
    const wrong = openRepository({ storage: folder.storage(), password: new Secret('x') });
    await expect(wrong).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });
});

class CountingStorage extends FaultyStorage {
  override readonly connections = 3;
  mostAtOnce = 0;
  #running = 0;

  override async save(...args: Parameters<FaultyStorage['save']>): Promise<void> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#running);
    await super.save(...args);
    this.#running--;
  }
}

describe('an upload', () => {
  test('that fails or dies at any point leaves a repository in order, with nothing but extra data', async () => {
    for (const kind of ['before', 'after'] as const) {
      for (let failingCall = 1; failingCall <= 6; failingCall++) {
        await using folder = await ScratchFolder.create();
        await makeSmall(folder);
        const storage = new FaultyStorage(folder.storage(), { failingCall, kind });
        const repository = await openRepository({ storage, password });
        const uploader = new PackUploader(repository);
        const write = async (): Promise<void> => {
          const { engine, key } = repository;
          try {
            for (let pack = 0; pack < 4; pack++) {
              const builder = new PackBuilder({ engine, key, type: 'data' });
              const blob = randomBytes(100);
              builder.add(engine.sha256(blob), blob);
              await uploader.add(builder.finish());
            }
            await uploader.flush();
          } finally {
            await uploader.settle();
          }
          const [last] = await repository.listSnapshots();
          await repository.saveSnapshot({ time, tree: last!.tree, paths: ['/x'] });
        };
        await expect(write()).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
        // Another pack may still be on its way.
        await uploader.settle();
        const order = storage.calls.map(({ handle }) => handle.type);
        expect(order).toEqual(['pack', 'pack', 'pack', 'pack', 'index', 'snapshot'].slice(0, order.length));
        const report = await checkRepository(await openRepository({ storage: folder.storage(), password }), {
          readData: true,
        });
        expect(report.errors).toEqual([]);
        expect(report.snapshots).toBe(failingCall === 6 && kind === 'after' ? 2 : 1);
      }
    }
  });

  test('writes an index file when 50,000 blobs or ten minutes are waiting', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const { engine, key } = repository;
    let now = 0;
    const uploader = new PackUploader(repository, { clock: { now: () => new Date(now) } });
    const add = async (blobs: number): Promise<string> => {
      const builder = new PackBuilder({ engine, key, type: 'data', compression: 'off' });
      for (let blob = 0; blob < blobs; blob++) {
        const bytes = Buffer.from(`${blob} ${Math.random()}`);
        builder.add(engine.sha256(bytes), bytes);
      }
      const pack = builder.finish();
      await uploader.add(pack);
      return pack.id;
    };
    await add(49_999);
    now = 599_000;
    expect(await repository.listFiles('index')).toHaveLength(0);
    await add(1);
    await expect.poll(async () => (await repository.listFiles('index')).length).toBe(1);
    await add(1);
    await expect.poll(() => uploader.packsStored).toBe(3);
    now += 600_000;
    await add(1);
    await expect.poll(async () => (await repository.listFiles('index')).length).toBe(2);
    await uploader.flush();
    await uploader.flush();
    expect(await repository.listFiles('index')).toHaveLength(2);
    expect(await checkRepository(repository)).toMatchObject({ errors: [], warnings: [], packs: 4 });
  });

  test('has no more packs on their way than the storage wants, and ends at the first failure', async () => {
    await using folder = await ScratchFolder.create();
    const { engine, key } = await folder.createRepository();
    const storage = new CountingStorage(folder.storage());
    const repository = await openRepository({ storage, password });
    const uploader = new PackUploader(repository);
    const stored: string[] = [];
    const made: string[] = [];
    for (let pack = 0; pack < 12; pack++) {
      const builder = new PackBuilder({ engine, key, type: 'data' });
      const blob = randomBytes(1000);
      builder.add(engine.sha256(blob), blob);
      const finished = builder.finish();
      expect(parseHeader(finished.header)).toHaveLength(1);
      made.push(finished.id);
      await uploader.add(finished);
    }
    await uploader.flush();
    for (const { name } of await repository.listFiles('pack')) stored.push(name);
    expect(stored.sort()).toEqual(made.sort());
    expect(storage.mostAtOnce).toBe(3);
    expect(uploader.packsStored).toBe(12);
  });
});
