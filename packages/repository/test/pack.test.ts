import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MasterKey } from '../src/crypto/master-key.ts';
import { UnitCipher } from '../src/crypto/unit-cipher.ts';
import { loadEngine } from '../src/native/load-engine.ts';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { encodeHeader, parseHeader } from '../src/pack/pack-header.ts';
import { headerOfPack, openBlob, readPackHeader } from '../src/pack/pack-reader.ts';
import { ScratchFolder } from './restic-oracle.ts';

const engine = loadEngine();
const key = MasterKey.generate();
const cipher = new UnitCipher(engine, key);

function build(blobs: readonly Uint8Array[], options: Partial<ConstructorParameters<typeof PackBuilder>[0]> = {}) {
  const builder = new PackBuilder({ engine, key, type: 'data', verify: true, ...options });
  for (const blob of blobs) builder.add(engine.sha256(blob), blob);
  return builder.finish();
}

describe('a pack', () => {
  test('yields every blob that was put into it, whatever its size and compression', () => {
    const blobs = fc.array(fc.uint8Array({ maxLength: 2000 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(
        blobs,
        fc.constantFrom('off', 'auto', 'max'),
        fc.constantFrom('data', 'tree'),
        (contents, compression, type) => {
          const pack = build(contents, { compression, type });
          const header = headerOfPack(pack.bytes, cipher, pack.id);
          expect(Buffer.compare(header, pack.header)).toBe(0);
          const entries = parseHeader(header);
          expect(encodeHeader(entries).equals(pack.header)).toBe(true);
          expect(entries.map(({ id }) => id)).toEqual(
            contents.map((content) => engine.sha256(content).toString('hex')),
          );
          for (const [index, entry] of entries.entries()) {
            const stored = pack.bytes.subarray(entry.offset, entry.offset + entry.length);
            const plain = openBlob(stored, { ...entry, packId: pack.id }, { engine, cipher });
            expect(Buffer.compare(plain, contents[index]!)).toBe(0);
            const isCompressed = (compression !== 'off' || type === 'tree') && plain.length > 0;
            expect(entry.uncompressedLength).toBe(isCompressed ? plain.length : 0);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test('is full at its target size, and a blob as large as the target wants a pack of its own', () => {
    const builder = new PackBuilder({ engine, key, type: 'data', packSizeBytes: 10_000 });
    const blob = randomBytes(4000);
    builder.add(engine.sha256(blob), blob);
    expect(builder.isFull).toBe(false);
    expect(builder.wantsOwnPack(9999)).toBe(false);
    expect(builder.wantsOwnPack(10_000)).toBe(true);
    for (let i = 0; i < 2; i++) builder.add(engine.sha256(blob), blob);
    expect(builder.isFull).toBe(true);
    builder.finish();
    expect([builder.blobCount, builder.sizeBytes, builder.wantsOwnPack(1e6)]).toEqual([0, 0, false]);
  });

  test('takes blobs larger than its target and the buffer of an earlier pack', () => {
    const builder = new PackBuilder({ engine, key, type: 'tree', packSizeBytes: 1000, verify: true });
    const large = randomBytes(12 * 1024 * 1024);
    builder.add(engine.sha256(large), large);
    const first = builder.finish();
    expect(first.bytes.length).toBeGreaterThan(large.length);
    const recycled = first.bytes.buffer;
    builder.add(engine.sha256(large.subarray(1)), large.subarray(1));
    const second = builder.finish({ recycled });
    builder.add(engine.sha256(large), large);
    const third = builder.finish();
    expect(third.bytes.buffer).toBe(recycled);
    for (const pack of [second, third]) expect(engine.sha256(pack.bytes).toString('hex')).toBe(pack.id);
  });

  test('refuses a blob that does not read back as what its id says, when asked to look', () => {
    const blob = randomBytes(5000);
    const id = engine.sha256(blob);
    // As memory that flips a bit between the hash and the encryption.
    blob[100]! ^= 1;
    const trusting = new PackBuilder({ engine, key, type: 'data' });
    trusting.add(id, blob);
    expect(trusting.finish().id).toMatch(/^[0-9a-f]{64}$/);
    const careful = new PackBuilder({ engine, key, type: 'data', verify: true });
    careful.add(id, blob);
    expect(() => careful.finish()).toThrow(expect.objectContaining({ code: 'REPOSITORY_DAMAGED' }));
  });

  test('goes on in the memory of a part that another builder has left, and gives back that of further ones', () => {
    const blobs = [randomBytes(1000), randomBytes(2000), randomBytes(3000)];
    const parts = blobs.map((blob) => {
      const builder = new PackBuilder({ engine, key, type: 'data' });
      builder.add(engine.sha256(blob), blob);
      return builder.takePart();
    });
    const [memory, ...others] = parts.map(({ bytes }) => bytes.buffer);
    const builder = new PackBuilder({ engine, key, type: 'data', verify: true });
    for (const part of parts) builder.addPart(part);
    const pack = builder.finish();
    expect(pack.bytes.buffer).toBe(memory);
    expect(others.map(({ detached }) => detached)).toEqual([true, true]);
    for (const [index, entry] of parseHeader(headerOfPack(pack.bytes, cipher, pack.id)).entries()) {
      const stored = pack.bytes.subarray(entry.offset, entry.offset + entry.length);
      expect(Buffer.compare(openBlob(stored, { ...entry, packId: pack.id }, { engine, cipher }), blobs[index]!)).toBe(
        0,
      );
    }
  });

  test('is transferable: its buffer holds nothing of the next one', () => {
    const builder = new PackBuilder({ engine, key, type: 'data' });
    builder.add(engine.sha256(Buffer.from('a')), Buffer.from('a'));
    const first = builder.finish();
    builder.add(engine.sha256(Buffer.from('b')), Buffer.from('b'));
    expect(builder.finish().bytes.buffer).not.toBe(first.bytes.buffer);
    expect(structuredClone(first, { transfer: [first.bytes.buffer] }).id).toBe(first.id);
  });

  test.each([1, 15, 16, 400])('with %i blobs is read from its end with as few bytes as needed', async (count) => {
    await using folder = await ScratchFolder.create();
    const storage = folder.storage();
    await storage.create();
    const pack = build(Array.from({ length: count }, () => randomBytes(50)));
    await storage.save({ type: 'pack', name: pack.id }, pack.bytes);
    const header = await readPackHeader(storage, { cipher, packId: pack.id, sizeBytes: pack.bytes.length });
    expect(Buffer.compare(header, pack.header)).toBe(0);
  });

  test('that was cut short or changed anywhere in header or length is refused', () => {
    const pack = build([randomBytes(100), randomBytes(200)]);
    for (let length = 0; length < pack.bytes.length; length++) {
      expect(() => headerOfPack(pack.bytes.subarray(0, length), cipher, pack.id)).toThrow(/pack/i);
    }
    for (let position = pack.bytes.length - pack.header.length - 36; position < pack.bytes.length; position++) {
      const changed = Buffer.from(pack.bytes);
      changed[position]! ^= 0x10;
      expect(() => headerOfPack(changed, cipher, pack.id)).toThrow(
        expect.objectContaining({ code: 'REPOSITORY_DAMAGED' }),
      );
    }
  });

  test('whose header lies about lengths or types is refused', () => {
    const pack = build([randomBytes(100)]);
    const unit = (header: Buffer): Buffer =>
      Buffer.concat([pack.bytes.subarray(0, 132), cipher.seal(header), Buffer.from([header.length + 32, 0, 0, 0])]);
    const header = Buffer.from(pack.header);
    for (const [position, value] of [
      [0, 4],
      [0, 255],
      [1, 0],
      [1, header[1]! + 1],
    ] as const) {
      const changed = Buffer.from(header);
      changed[position] = value;
      expect(() => headerOfPack(unit(changed), cipher, pack.id)).toThrow(
        expect.objectContaining({ code: 'REPOSITORY_DAMAGED' }),
      );
    }
  });

  test('a blob under another id, type or length is not that blob', () => {
    const content = Buffer.from('content '.repeat(100));
    const pack = build([content]);
    const [entry] = parseHeader(pack.header);
    const stored = pack.bytes.subarray(0, entry!.length);
    const asked = { ...entry!, packId: pack.id };
    expect(() => openBlob(stored, { ...asked, id: 'ab'.repeat(32) }, { engine, cipher })).toThrow(/has the hash/);
    expect(() => openBlob(stored, { ...asked, uncompressedLength: 799 }, { engine, cipher })).toThrow(
      /does not decompress/,
    );
    expect(() => openBlob(stored, { ...asked, uncompressedLength: 801 }, { engine, cipher })).toThrow(
      /does not decompress/,
    );
    expect(() => openBlob(stored, { ...asked, uncompressedLength: 0 }, { engine, cipher })).toThrow(/has the hash/);
  });
});
