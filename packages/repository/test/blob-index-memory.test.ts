import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlobIndex, type BlobLocation } from '../src/blob-index/blob-index.ts';
import { addIndexFile, decodeIndexFile } from '../src/blob-index/index-file.ts';
import { scanIndexFile, type IndexListing } from '../src/blob-index/index-listing.ts';
import type { BlobType, PackedBlob } from '../src/pack/blob-type.ts';

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The index as lists and maps. */
class Model {
  readonly entries: { type: BlobType; id: string; location: BlobLocation }[] = [];
  readonly packs = new Map<string, PackedBlob[]>();

  add(packId: string, blobs: readonly PackedBlob[]): void {
    const known = this.packs.get(packId) ?? [];
    this.packs.set(packId, known);
    for (const blob of blobs) {
      const { type, id, offset, length, uncompressedLength } = blob;
      if (known.some((other) => other.type === type && other.id === id && other.offset === offset)) continue;
      known.push(blob);
      this.entries.push({ type, id, location: { packId, offset, length, uncompressedLength } });
    }
  }

  copies(type: BlobType, id: string): BlobLocation[] {
    return this.entries.filter((entry) => entry.type === type && entry.id === id).map(({ location }) => location);
  }

  entryOf(type: BlobType, id: string): number {
    return this.entries.findIndex((entry) => entry.type === type && entry.id === id);
  }
}

const blobType = fc.constantFrom<BlobType>('data', 'tree');
const length = fc.integer({ min: 32, max: 0xffffffff });
const uint32 = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 0xffffffff }));
const blobOf = (ids: number): fc.Arbitrary<PackedBlob> =>
  fc.record({
    type: blobType,
    id: fc.integer({ min: 0, max: ids }).map((number) => hash(`b${number}`)),
    offset: fc.oneof(fc.integer({ min: 0, max: 2 }), uint32),
    length,
    uncompressedLength: fc.oneof(fc.constant(0), uint32),
  });
const packOf = (ids: number, mostBlobs: number): fc.Arbitrary<{ packId: string; blobs: PackedBlob[] }> =>
  fc.record({
    packId: fc.integer({ min: 0, max: 6 }).map((number) => hash(`p${number}`)),
    blobs: fc.array(blobOf(ids), { maxLength: mostBlobs }),
  });

describe('the index against a model of lists', () => {
  test('answers every question alike, with duplicates, empty packs and both types under one id', () => {
    fc.assert(
      fc.property(fc.array(packOf(12, 20), { maxLength: 30 }), (packs) => {
        const index = new BlobIndex();
        const attached = BlobIndex.attach(index.share());
        const model = new Model();
        for (const { packId, blobs } of packs) {
          index.addBlobs(packId, blobs);
          model.add(packId, blobs);
        }
        for (const subject of [index, attached]) {
          expect([subject.size, subject.packCount]).toEqual([model.entries.length, model.packs.size]);
          for (const type of ['data', 'tree'] as const) {
            for (let number = 0; number <= 12; number++) {
              const id = hash(`b${number}`);
              const copies = model.copies(type, id);
              expect(subject.lookupAll(type, id)).toEqual(copies);
              expect(subject.lookup(type, Buffer.from(id, 'hex'))).toEqual(copies[0]);
              expect(subject.has(type, id)).toBe(copies.length > 0);
              expect(subject.entryOf(type, id)).toBe(model.entryOf(type, id));
            }
          }
          for (let number = 0; number <= 6; number++)
            expect(subject.hasPack(hash(`p${number}`))).toBe(model.packs.has(hash(`p${number}`)));
          const listed = [...subject.packs()].map(({ packId, blobs }) => [packId, blobs] as const);
          const expected = [...model.packs].map(
            ([packId, blobs]) => [packId, blobs.toSorted((a, b) => a.offset - b.offset)] as const,
          );
          expect(listed).toEqual(expected);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('numbers entries without gaps and keeps the numbers while it grows', () => {
    const index = new BlobIndex();
    const total = 30_000;
    for (let number = 0; number < total; number++) {
      const place = { offset: number, length: 40, uncompressedLength: 0 };
      index.addBlobs(hash(`p${number % 50}`), [{ type: 'data', id: hash(`blob ${number}`), ...place }]);
      if (number % 1000 === 0) expect(index.entryOf('data', hash('blob 0'))).toBe(0);
    }
    for (let number = 0; number < total; number += 7) {
      expect(index.entryOf('data', hash(`blob ${number}`))).toBe(number);
      expect(index.entryOf('data', hash(`none ${number}`))).toBe(-1);
    }
  });

  test('lists packs as they were when it was asked, whatever is added meanwhile', () => {
    const index = new BlobIndex();
    const place = { offset: 0, length: 40, uncompressedLength: 0 };
    for (const number of [1, 2, 3])
      index.addBlobs(hash(`p${number}`), [{ type: 'data', id: hash(`b${number}`), ...place }]);
    const listed: number[] = [];
    for (const { blobs } of index.packs()) {
      listed.push(blobs.length);
      index.addBlobs(hash(`new ${listed.length}`), [{ type: 'tree', id: hash('t'), ...place }]);
      index.addBlobs(hash('p3'), [{ type: 'data', id: hash(`more ${listed.length}`), ...place, offset: 99 }]);
    }
    expect(listed).toEqual([1, 1, 1]);
    expect(index.packCount).toBe(6);
  });
});

test('threads find every blob that was there before they looked, while the index grows many times', async () => {
  const index = new BlobIndex();
  const total = 120_000;
  const workerData = { shared: index.share(), total };
  const workers = [1, 2].map(() => new Worker(new URL('./index-reader.ts', import.meta.url), { workerData }));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const answers = Promise.all(workers.map((worker) => once(worker, 'message')));
  for (let number = 0; number < total; number++) {
    const place = { offset: number, length: 40, uncompressedLength: 0 };
    index.addBlobs(hash(`p${Math.floor(number / 20)}`), [{ type: 'data', id: hash(`blob ${number}`), ...place }]);
  }
  for (const [answer] of (await answers) as [{ searches: number; missed: number[]; packCount: number }][]) {
    expect(answer.searches).toBeGreaterThan(0);
    expect(answer.missed).toEqual([]);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
});

/** A listing in the words of decodeIndexFile. */
function packsOf({ packs, packEnds, blobs }: IndexListing): unknown[] {
  const bytes = Buffer.from(packs.buffer, packs.byteOffset, packs.byteLength);
  const blobBytes = Buffer.from(blobs.buffer, blobs.byteOffset, blobs.byteLength);
  return Array.from(packEnds, (end, pack) => ({
    packId: bytes.toString('hex', pack * 32, pack * 32 + 32),
    blobs: Array.from({ length: end - (packEnds[pack - 1] ?? 0) }, (_, number) => {
      const row = (packEnds[pack - 1] ?? 0) + number;
      const [type, offset, stored, uncompressedLength] = blobs.subarray(row * 12 + 8, row * 12 + 12);
      const id = blobBytes.toString('hex', row * 48, row * 48 + 32);
      return { type: type === 0 ? 'data' : 'tree', id, offset, length: stored, uncompressedLength };
    }),
  }));
}

function jsonOf(packs: readonly { packId: string; blobs: readonly PackedBlob[] }[]): string {
  const listed = packs.map(({ packId, blobs }) => ({
    id: packId,
    blobs: blobs.map(({ id, type, offset, length: stored, uncompressedLength }) => ({
      id,
      type,
      offset,
      length: stored,
      uncompressed_length: uncompressedLength === 0 ? undefined : uncompressedLength,
    })),
  }));
  return JSON.stringify({ packs: listed });
}

describe('the scanner of index files', () => {
  const packs = fc.array(packOf(1e6, 8), { maxLength: 6 });

  test('reads the usual shape exactly as JSON.parse does', () => {
    fc.assert(
      fc.property(packs, fc.constantFrom('', '\n'), (listed, end) => {
        const json = Buffer.from(jsonOf(listed) + end);
        const listing = scanIndexFile(json);
        expect(listing && packsOf(listing)).toEqual(decodeIndexFile(json, 'f'));
      }),
    );
  });

  test('after any change of the bytes agrees with JSON.parse or leaves the file to it', () => {
    const edit = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      removed: fc.integer({ min: 0, max: 3 }),
      inserted: fc.constantFrom(
        '',
        ' ',
        '0',
        '9',
        '-',
        '.5',
        'e3',
        ',',
        '}',
        ']',
        '"',
        'A',
        'f',
        '\\u0030',
        'é',
        '"x":1,',
      ),
    });
    fc.assert(
      fc.property(packs, fc.array(edit, { minLength: 1, maxLength: 2 }), (listed, edits) => {
        let json = jsonOf(listed);
        for (const { at, removed, inserted } of edits) {
          const place = Math.floor(at * json.length);
          json = json.slice(0, place) + inserted + json.slice(place + removed);
        }
        const listing = scanIndexFile(Buffer.from(json));
        if (listing) expect(packsOf(listing)).toEqual(decodeIndexFile(Buffer.from(json), 'f'));
      }),
      { numRuns: 3000 },
    );
  });

  test('takes numbers up to 2^32 - 1 and nothing that is not one', () => {
    const withNumbers = (numbers: string): Buffer =>
      Buffer.from(`{"packs":[{"id":"${hash('p')}","blobs":[{"id":"${hash('b')}","type":"tree",${numbers}}]}]}`);
    const most = withNumbers('"offset":4294967295,"length":4294967295,"uncompressed_length":4294967295');
    expect(packsOf(scanIndexFile(most)!)).toEqual(decodeIndexFile(most, 'f'));
    for (const numbers of [
      '"offset":4294967296,"length":40',
      '"offset":99999999999999999999,"length":40',
      '"offset":01,"length":40',
      '"offset":,"length":40',
      '"offset":1,"length":31',
      '"offset":1,"length":40,"uncompressed_length":-1',
    ])
      expect(scanIndexFile(withNumbers(numbers))).toBe(null);
  });

  test('and the slower way fill the same index, and a damaged file adds nothing', () => {
    fc.assert(
      fc.property(packs, (listed) => {
        const [scanned, parsed] = [new BlobIndex(), new BlobIndex()];
        addIndexFile(scanned, Buffer.from(jsonOf(listed)), 'f');
        addIndexFile(parsed, Buffer.from(JSON.stringify(JSON.parse(jsonOf(listed)), null, 1)), 'f');
        expect([...scanned.packs()]).toEqual([...parsed.packs()]);
        expect([scanned.size, scanned.packCount]).toEqual([parsed.size, parsed.packCount]);
        const cut = Buffer.from(jsonOf(listed).slice(0, -1));
        const index = new BlobIndex();
        expect(() => addIndexFile(index, cut, 'f')).toThrow(/Index file f is damaged/);
        expect([index.size, index.packCount]).toEqual([0, 0]);
      }),
      { numRuns: 30 },
    );
  });
});

test.runIf(process.env['VARVE_LONG_TESTS'] !== undefined)(
  'ten million blobs take at most 700 MB and less than a microsecond a lookup',
  { timeout: 600_000 },
  () => {
    const script = fileURLToPath(new URL('../scripts/measure-index.ts', import.meta.url));
    const figures = execFileSync(process.execPath, [script, '10', '--json'], { encoding: 'utf8' });
    const { memoryWithPacksMb, lookupsUs } = JSON.parse(figures) as {
      memoryWithPacksMb: number;
      lookupsUs: Record<string, number>;
    };
    expect(memoryWithPacksMb).toBeLessThanOrEqual(700);
    for (const [what, us] of Object.entries(lookupsUs)) expect([what, us < 1]).toEqual([what, true]);
  },
);
