// Files of database pages: cut at fixed borders, so that an unchanged page is stored once.

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  checkRepository,
  findNode,
  readFileContent,
  restoreTree,
  startArchive,
  type Repository,
} from '@varve/repository';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const pageBytes = 8192;
const commitOptions = { time: new Date(), hostname: 'host', paths: ['/x'], programVersion: 'varve' };

interface Lab {
  readonly folder: ScratchFolder;
  readonly repository: Repository;
  readonly source: string;
}

async function lab(): Promise<Lab> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const source = join(folder.path, 'source');
  mkdirSync(source);
  return { folder, repository: await folder.createRepository(), source };
}

/** Pages that compress about as those of a table do: half text, half noise. */
function tablePage(): Buffer {
  const page = Buffer.alloc(pageBytes, 'a row of text ');
  randomBytes(pageBytes / 2).copy(page, pageBytes / 2);
  return page;
}

async function save({ repository, source }: Lab, chunkBytes: number): Promise<{ stored: number; treeId: string }> {
  await using session = await startArchive(repository);
  await session.addPath({ source, target: '/base', pages: { patterns: ['/16384/[0-9]*'], chunkBytes } });
  const { snapshot, summary } = await session.commit(commitOptions);
  return { stored: summary.dataAddedPacked, treeId: snapshot.tree };
}

async function expectSound({ folder, repository }: Lab): Promise<void> {
  expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
  if (resticMissing() === null) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
  expect(readdirSync(join(folder.repo, 'locks'))).toEqual([]);
}

describe('files of pages', () => {
  test('cost little more than the pages that changed, come back, and are restored', async () => {
    const all = await lab();
    const pages = 8192;
    mkdirSync(join(all.source, '16384'));
    const file = join(all.source, '16384/16385');
    const fd = openSync(file, 'w');
    for (let i = 0; i < pages; i++) writeSync(fd, tablePage());
    writeFileSync(join(all.source, '16384/PG_VERSION'), '17\n');
    const first = await save(all, pageBytes);
    const changed = 82;
    for (let i = 0; i < changed; i++) writeSync(fd, tablePage(), 0, pageBytes, ((i * 97) % pages) * pageBytes);
    closeSync(fd);
    const second = await save(all, pageBytes);
    expect(first.stored).toBeLessThan(64_000_000);
    expect(second.stored).toBeLessThan(changed * pageBytes * 2);
    const node = await findNode(all.repository, { treeId: second.treeId, path: '/base/16384/16385' });
    expect(node.content).toHaveLength(pages);
    const target = join(all.folder.path, 'restored');
    await restoreTree(all.repository, { treeId: second.treeId, path: '/base', target });
    expect(hashOf(join(target, '16384/16385'))).toBe(hashOf(file));
    await expectSound(all);
  });

  test('have the same chunks from a folder, a tar stream and a stream, whatever the pieces are', async () => {
    const all = await lab();
    const data = Buffer.concat([
      tablePage(),
      tablePage(),
      Buffer.alloc(pageBytes * 200),
      tablePage(),
      randomBytes(100),
    ]);
    mkdirSync(join(all.source, '16384'));
    writeFileSync(join(all.source, '16384/1'), data);
    const pages = { patterns: ['/16384/[0-9]*'], chunkBytes: pageBytes };
    const tar = execFileSync('tar', ['-cf', '-', '-C', all.source, '16384'], { maxBuffer: 8_000_000 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1000, max: 3_000_000 }), async (pieceBytes) => {
        async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
        }
        await using session = await startArchive(all.repository, { workers: 1 });
        await session.addPath({ source: all.source, target: '/path', pages });
        await session.addTar({ target: '/tar', source: pieces(tar), pages });
        await session.addStream({
          target: '/stream',
          source: pieces(data),
          pageChunkBytes: pageBytes,
          sizeBytes: data.length,
        });
        const { snapshot } = await session.commit(commitOptions);
        const nodes = await Promise.all(
          ['/path/16384/1', '/tar/16384/1', '/stream'].map((path) =>
            findNode(all.repository, { treeId: snapshot.tree, path }),
          ),
        );
        expect(nodes[0]?.content).toHaveLength(204);
        expect(nodes[1]?.content).toEqual(nodes[0]?.content);
        expect(nodes[2]?.content).toEqual(nodes[0]?.content);
        const read = await Array.fromAsync(readFileContent(all.repository, { treeId: snapshot.tree, path: '/stream' }));
        expect(Buffer.concat(read).equals(data)).toBe(true);
      }),
      { numRuns: 3, examples: [[pageBytes]] },
    );
    await expectSound(all);
  });

  test.each([1, 2])('a stream of exactly %d MiB comes back as it was', async (mebibytes) => {
    const all = await lab();
    const data = randomBytes(mebibytes * 1024 * 1024);
    async function* whole(): AsyncGenerator<Uint8Array> {
      yield data;
    }
    await using session = await startArchive(all.repository, { workers: 1 });
    for (const pageChunkBytes of [pageBytes, 1024 * 1024]) {
      await session.addStream({
        target: `/${pageChunkBytes}`,
        source: whole(),
        sizeBytes: data.length,
        pageChunkBytes,
      });
    }
    const { snapshot } = await session.commit(commitOptions);
    for (const path of [`/${pageBytes}`, `/${1024 * 1024}`]) {
      const node = await findNode(all.repository, { treeId: snapshot.tree, path });
      expect(node.content).toHaveLength(path === `/${pageBytes}` ? mebibytes * 128 : mebibytes);
      const read = await Array.fromAsync(readFileContent(all.repository, { treeId: snapshot.tree, path }));
      expect(Buffer.concat(read).equals(data)).toBe(true);
    }
    await expectSound(all);
  });

  test('a stream that is shorter than it said ends the session', async () => {
    const all = await lab();
    async function* short(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(10);
    }
    await using session = await startArchive(all.repository);
    const add = session.addStream({ target: '/x', source: short(), sizeBytes: 11 });
    await expect(add).rejects.toMatchObject({ code: 'ARCHIVE_PRODUCER_FAILED' });
    await expect(session.commit(commitOptions)).rejects.toMatchObject({ code: 'ARCHIVE_PRODUCER_FAILED' });
  });

  test.each([0, 511, 1000, 9 * 1024 * 1024, Number.NaN])('chunks of %d bytes are refused', async (chunkBytes) => {
    const all = await lab();
    await using session = await startArchive(all.repository);
    const add = session.addPath({ source: all.source, target: '/x', pages: { patterns: ['*'], chunkBytes } });
    await expect(add).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  });
});

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
