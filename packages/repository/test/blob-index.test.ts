import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlobClaims } from '../src/blob-index/blob-claims.ts';
import { BlobIndex } from '../src/blob-index/blob-index.ts';
import { decodeIndexFile, encodeIndexFile } from '../src/blob-index/index-file.ts';
import type { PackedBlob } from '../src/pack/blob-type.ts';
import { encodeHeader } from '../src/pack/pack-header.ts';

const id = (text: string | number): string => createHash('sha256').update(String(text)).digest('hex');

function packOf(count: number, seed: string): PackedBlob[] {
  let offset = 0;
  return Array.from({ length: count }, (_, number) => {
    const length = 33 + (number % 7);
    const blob = {
      type: number % 3 === 0 ? 'tree' : 'data',
      id: id(`${seed}${number}`),
      offset,
      length,
      uncompressedLength: number % 2,
    } as const;
    offset += length;
    return blob;
  });
}

describe('the index', () => {
  test('knows of every blob each place where it is, like a list of them', () => {
    const blob = fc.record({
      type: fc.constantFrom('data' as const, 'tree' as const),
      id: fc.integer({ min: 0, max: 40 }),
      pack: fc.integer({ min: 0, max: 5 }),
      offset: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(blob, { maxLength: 300 }), (blobs) => {
        const index = new BlobIndex();
        const expected = new Map<string, Set<string>>();
        for (const { type, id: number, pack, offset } of blobs) {
          index.addBlobs(id(`pack${pack}`), [{ type, id: id(number), offset, length: 40, uncompressedLength: 0 }]);
          const places = expected.get(`${type}${number}`) ?? new Set();
          expected.set(`${type}${number}`, places.add(`${id(`pack${pack}`)}${offset}`));
        }
        for (const type of ['data', 'tree'] as const) {
          for (let number = 0; number <= 40; number++) {
            const places = expected.get(`${type}${number}`) ?? new Set<string>();
            const found = index.lookupAll(type, id(number)).map(({ packId, offset }) => `${packId}${offset}`);
            expect(new Set(found)).toEqual(places);
            expect(found).toHaveLength(places.size);
            expect(index.has(type, Buffer.from(id(number), 'hex'))).toBe(places.size > 0);
            expect(index.lookup(type, id(number))).toEqual(index.lookupAll(type, id(number))[0]);
          }
        }
      }),
    );
  });

  test('grows far beyond its first size and lists each pack with its blobs by offset', () => {
    const index = new BlobIndex();
    const packs = new Map(Array.from({ length: 40 }, (_, number) => [id(`p${number}`), packOf(500, `p${number}-`)]));
    for (const [packId, blobs] of packs) index.addPack(packId, encodeHeader(blobs));
    index.reserve(1_000_000);
    for (const [packId, blobs] of packs) index.addBlobs(packId, blobs.toReversed());
    expect([index.size, index.packCount]).toEqual([20_000, 40]);
    const listed = new Map(index.packs().map(({ packId, blobs }) => [packId, blobs]));
    expect(listed).toEqual(packs);
  });

  test('keeps offsets and lengths up to 2^32 - 1', () => {
    const index = new BlobIndex();
    const place = { offset: 0xffffffff, length: 0xfffffffe, uncompressedLength: 0xfffffffd };
    index.addBlobs(id('p'), [{ type: 'tree', id: id('b'), ...place }]);
    expect(index.lookup('tree', id('b'))).toEqual({ packId: id('p'), ...place });
    expect(index.lookup('data', id('b'))).toBe(undefined);
  });

  test('refuses ids that are none', () => {
    const index = new BlobIndex();
    expect(() => index.has('data', 'abc')).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    expect(() => index.has('data', 'zz'.repeat(32))).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    expect(() => index.has('data', randomBytes(31))).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
  });

  test('is read by another object over the same memory, also what was added later, and is read-only there', () => {
    const index = new BlobIndex();
    const attached = BlobIndex.attach(index.share());
    index.addBlobs(id('p'), packOf(100, 'a'));
    expect(attached.lookup('data', id('a1'))).toEqual(index.lookup('data', id('a1')));
    expect(() => attached.addBlobs(id('p'), packOf(1, 'b'))).toThrow(/read-only/);
    index.reserve(100_000);
    index.addBlobs(id('p2'), packOf(5000, 'c'));
    expect(attached.has('data', id('a1'))).toBe(true);
  });
});

describe('claims', () => {
  test('are granted once for each blob and type, and never for blobs of the index', () => {
    const index = new BlobIndex();
    index.addBlobs(id('p'), [{ type: 'data', id: id('known'), offset: 0, length: 40, uncompressedLength: 0 }]);
    const claims = new BlobClaims(index);
    const bytes = (text: string): Buffer => Buffer.from(id(text), 'hex');
    expect(claims.claim('data', bytes('known'))).toBe(false);
    expect(claims.claim('tree', bytes('known'))).toBe(true);
    expect(claims.claim('data', bytes('new'))).toBe(true);
    expect(claims.claim('data', bytes('new'))).toBe(false);
    expect(claims.size).toBe(2);
  });

  test('of several threads that meet the same blobs are granted to exactly one of them, while the table grows', async () => {
    const index = new BlobIndex();
    const known = packOf(3000, 'k').filter(({ type }) => type === 'data');
    index.addBlobs(id('p'), known);
    const claims = new BlobClaims(index);
    const count = 60_000;
    const workerData = { index: index.share(), claims: claims.share(), count };
    const workers = [1, 2, 3].map(() => new Worker(new URL('./claim-worker.ts', import.meta.url), { workerData }));
    const answers = await Promise.all(workers.map((worker) => once(worker, 'message') as Promise<[number[]]>));
    await Promise.all(workers.map((worker) => worker.terminate()));
    const granted = answers.flatMap(([numbers]) => numbers);
    expect(granted).toHaveLength(count);
    expect(new Set(granted).size).toBe(count);
    expect(claims.size).toBe(count);
  });
});

describe('an index file', () => {
  test('reads back as it was written, in the bytes of restic', () => {
    const packs = [1, 2].map((number) => ({ packId: id(`p${number}`), blobs: packOf(3, `x${number}`) }));
    const json = encodeIndexFile(packs.map(({ packId, blobs }) => ({ packId, header: encodeHeader(blobs) })));
    expect(decodeIndexFile(json, 'f')).toEqual(packs);
    const first = `{"id":"${id('x10')}","type":"tree","offset":0,"length":33}`;
    const second = `{"id":"${id('x11')}","type":"data","offset":33,"length":34,"uncompressed_length":1}`;
    expect(json.toString()).toContain(`{"packs":[{"id":"${id('p1')}","blobs":[${first},${second},`);
    expect(json.toString().endsWith(']}]}\n')).toBe(true);
  });

  test('may name what it supersedes and hold unknown keys', () => {
    const blob = { id: id('b'), type: 'data', offset: 0, length: 40, time: 'x' };
    const json = { supersedes: [id('old')], packs: [{ id: id('p'), blobs: [blob], size: 3 }], packs_to_delete: [{}] };
    expect(decodeIndexFile(Buffer.from(JSON.stringify(json)), 'f')).toEqual([
      { packId: id('p'), blobs: [{ id: id('b'), type: 'data', offset: 0, length: 40, uncompressedLength: 0 }] },
    ]);
    expect(decodeIndexFile(Buffer.from('{"packs":null}'), 'f')).toEqual([]);
  });

  test('that is damaged is refused by name', () => {
    const blob = { id: id('b'), type: 'data', offset: 0, length: 40 };
    const pack = (changes: object): unknown => ({ packs: [{ id: id('p'), blobs: [{ ...blob, ...changes }] }] });
    const broken = ['', '[]', '{"packs":3}', '{"packs":[{}]}', `{"packs":[{"id":"${id('p')}"}]}`];
    const changes = [
      { id: 'x' },
      { type: 'pack' },
      { offset: -1 },
      { offset: 1.5 },
      { length: 31 },
      { length: 2 ** 32 },
      { length: '40' },
    ];
    for (const json of [...broken, ...changes.map((change) => JSON.stringify(pack(change)))]) {
      expect(() => decodeIndexFile(Buffer.from(json), 'index-name')).toThrow(/Index file index-name is damaged/);
    }
  });
});
