import { randomInt } from 'node:crypto';
import { readdir, readFile, writeFile, chmod } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { Secret, isAppError } from '@varve/base';
import { checkRepository, listTree, lockRepository, openRepository, readFileContent } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { readPackHeader } from '../src/pack/pack-reader.ts';
import { resticPassword, ScratchFolder } from './restic-oracle.ts';
import { seededRandom } from './seeded-random.ts';
import { makeSample, packPath, type SampleRepository } from './small-repository.ts';

// How many bits at random places are flipped beside one in each region, and where that begins. By hand:
// VARVE_BIT_FLIPS=20000 VARVE_SEED=1 npx vitest run packages/repository/test/bit-flip.test.ts
const randomFlips = Number(process.env['VARVE_BIT_FLIPS'] ?? 40);
const seed = Number(process.env['VARVE_SEED'] ?? randomInt(2 ** 31));

vi.setConfig({ testTimeout: 60_000 + randomFlips * 200 });

const password = new Secret(resticPassword);
const unitFrame = 16;

/** Bytes of a file that mean the same kind of thing. */
interface Region {
  readonly file: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

function unitRegions(file: string, unit: string, { start, end }: { start: number; end: number }): Region[] {
  return [
    { file, name: `${unit}: IV`, start, end: start + unitFrame },
    { file, name: `${unit}: ciphertext`, start: start + unitFrame, end: end - unitFrame },
    { file, name: `${unit}: authentication code`, start: end - unitFrame, end },
  ];
}

async function packRegions(folder: ScratchFolder, sample: SampleRepository, packId: string): Promise<Region[]> {
  const { repository } = sample;
  const file = relative(folder.repo, packPath(folder, packId));
  const sizeBytes = (await readFile(packPath(folder, packId))).length;
  const { storage, cipher } = repository;
  const headerBytes = (await readPackHeader(storage, { cipher, packId, sizeBytes })).length + 2 * unitFrame;
  const blobs = [...repository.index.packs()].find((pack) => pack.packId === packId)!.blobs;
  return [
    ...blobs.flatMap(({ type, offset, length }, i) =>
      unitRegions(file, `${type} blob ${i}`, { start: offset, end: offset + length }),
    ),
    ...unitRegions(file, 'header', { start: sizeBytes - 4 - headerBytes, end: sizeBytes - 4 }),
    { file, name: 'length of the header', start: sizeBytes - 4, end: sizeBytes },
  ];
}

/** Every field of a key file, and what is between them. */
function keyRegions(file: string, text: string): Region[] {
  const regions: Region[] = [{ file, name: 'first brace', start: 0, end: 1 }];
  for (const match of text.matchAll(/"(\w+)":("[^"]*"|\d+)/g)) {
    const [all, field = '', value = ''] = match;
    const end = match.index + all.length;
    regions.push(
      { file, name: `name of ${field}`, start: match.index, end: end - value.length },
      { file, name: field, start: end - value.length, end },
    );
  }
  return [...regions, { file, name: 'last brace', start: text.length - 1, end: text.length }];
}

async function regionsOf(folder: ScratchFolder, sample: SampleRepository): Promise<Region[]> {
  const regions: Region[] = [];
  for (const packId of [sample.dataPack, sample.treePack, sample.subtreePack])
    regions.push(...(await packRegions(folder, sample, packId)));
  const size = async (file: string): Promise<number> => (await readFile(join(folder.repo, file))).length;
  regions.push(...unitRegions('config', 'config', { start: 0, end: await size('config') }));
  for (const kind of ['index', 'snapshots', 'locks']) {
    for (const name of await readdir(join(folder.repo, kind)))
      regions.push(...unitRegions(join(kind, name), kind, { start: 0, end: await size(join(kind, name)) }));
  }
  const [key] = await readdir(join(folder.repo, 'keys'));
  const text = await readFile(join(folder.repo, 'keys', key!), 'utf8');
  return [...regions, ...keyRegions(join('keys', key!), text)];
}

/** What opening and checking a repository finds: the code of the error, or the codes of the report. */
async function diagnose(folder: ScratchFolder): Promise<string[]> {
  try {
    const repository = await openRepository({ storage: folder.storage(), password });
    const { errors, warnings } = await checkRepository(repository, { readData: true });
    return [...errors, ...warnings].map(({ code }) => code);
  } catch (error) {
    if (isAppError(error)) return [error.code];
    throw error;
  }
}

/** Every file of every snapshot, as a restore would read it. */
async function contentOf(folder: ScratchFolder): Promise<string[]> {
  const repository = await openRepository({ storage: folder.storage(), password });
  const files: string[] = [];
  for (const { id, tree } of await repository.listSnapshots()) {
    for await (const { path, node } of listTree(repository, { treeId: tree, recursive: true })) {
      if (node.type !== 'file') continue;
      const chunks = await Array.fromAsync(readFileContent(repository, { treeId: tree, path }));
      files.push(`${id} ${path} ${Buffer.concat(chunks).toString('hex')}`);
    }
  }
  return files;
}

/** Flips a bit and yields what went unnoticed, or null. The file is as before afterwards. */
async function tryFlip(folder: ScratchFolder, { file, bit }: { file: string; bit: number }): Promise<string | null> {
  const path = join(folder.repo, file);
  const whole = await readFile(path);
  const flipped = Buffer.from(whole);
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  await chmod(path, 0o600);
  await writeFile(path, flipped);
  try {
    return (await diagnose(folder)).length > 0 ? null : `bit ${bit} of ${file}`;
  } finally {
    await writeFile(path, whole);
  }
}

describe('a flipped bit', () => {
  test('in any part of any file is noticed by a check with data', async () => {
    await using folder = await ScratchFolder.create();
    const sample = await makeSample(folder);
    await using lock = await lockRepository(sample.repository, { exclusive: false });
    expect(lock.signal.aborted).toBe(false);
    expect(await diagnose(folder)).toEqual([]);
    const before = await contentOf(folder);
    const regions = await regionsOf(folder, sample);
    // Seven blobs, three headers, three index files, two snapshots, config and lock of three parts each; lengths; the key.
    expect(regions.length).toBe((7 + 3 + 3 + 2 + 1 + 1) * 3 + 3 + 20);
    const unnoticed: string[] = [];
    for (const { file, name, start, end } of regions) {
      expect(end).toBeGreaterThan(start);
      const byte = start + randomInt(end - start);
      const missed = await tryFlip(folder, { file, bit: byte * 8 + randomInt(8) });
      if (missed !== null) unnoticed.push(`${missed} (${name})`);
    }
    expect(unnoticed).toEqual([]);
    expect(await contentOf(folder)).toEqual(before);
  });

  test(`anywhere is noticed by a check with data (${randomFlips} times, VARVE_SEED=${seed})`, async () => {
    await using folder = await ScratchFolder.create();
    await makeSample(folder);
    const next = seededRandom(seed);
    const entries = await readdir(folder.repo, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const unnoticed: string[] = [];
    for (let flip = 0; flip < randomFlips; flip++) {
      const path = files.sort()[next(files.length)]!;
      const bits = (await readFile(path)).length * 8;
      const missed = await tryFlip(folder, { file: relative(folder.repo, path), bit: next(bits) });
      if (missed !== null) unnoticed.push(missed);
    }
    expect(unnoticed).toEqual([]);
    expect(await diagnose(folder)).toEqual([]);
  });
});
