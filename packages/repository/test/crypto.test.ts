import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MasterKey } from '../src/crypto/master-key.ts';
import { UnitCipher } from '../src/crypto/unit-cipher.ts';
import { compressBound, type Engine } from '../src/native/engine.ts';
import { loadEngine } from '../src/native/load-engine.ts';

const builtin = loadEngine({ preferred: 'builtin' });
const native = loadEngine();
const engines: readonly (readonly [string, Engine])[] = [
  ['the built-in engine', builtin],
  ['the native engine', native],
];

// D. J. Bernstein, "The Poly1305-AES message-authentication code", Appendix B.
const poly1305Aes = [
  {
    m: 'f3f6',
    r: '851fc40c3467ac0be05cc20404f3f700',
    k: 'ec074c835580741701425b623235add6',
    n: 'fb447350c4e868c52ac3275cf9d4327e',
    tag: 'f4c633c3044fc145f84f335cb81953de',
  },
  {
    m: '',
    r: 'a0f3080000f46400d0c7e9076c834403',
    k: '75deaa25c09f208e1dc4ce6b5cad3fbf',
    n: '61ee09218d29b0aaed7e154a2c5509cc',
    tag: 'dd3fab2251f11ac759f0887129cc2ee7',
  },
  {
    m: '663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136',
    r: '48443d0bb0d21109c89a100b5ce2c208',
    k: '6acb5f61a7176dd320c5c1eb2edcdc74',
    n: 'ae212a55399729595dea458bc621ff0e',
    tag: '0ee1c16bb73f0f4fd19881753c01cdbe',
  },
  {
    m: 'ab0812724a7f1e342742cbed374d94d136c6b8795d45b3819830f2c04491faf0990c62e48b8018b2c3e4a0fa3134cb67fa83e158c994d961c4cb21095c1bf9',
    r: '12976a08c4426d0ce8a82407c4f48207',
    k: 'e1a5668a4d5b66a5f68cc5424ed5982d',
    n: '9ae831e743978d3a23527c7128149e3a',
    tag: '5154ad0d2cb26e01274fc51148491f1b',
  },
];

function tagOf(engine: Engine, { k, r, n, m }: { k: Uint8Array; r: Uint8Array; n: Uint8Array; m: Uint8Array }): string {
  const tag = Buffer.alloc(16);
  engine.createAuthenticator(k, r).tag(n, m, tag);
  return tag.toString('hex');
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

test('this Node has the symbols that the native engine needs', () => {
  expect(native.name).toBe('native');
});

describe.each(engines)('%s', (_name, engine) => {
  test('computes the Poly1305-AES tags of the paper', () => {
    for (const { k, r, n, m, tag } of poly1305Aes) {
      expect(tagOf(engine, { k: hex(k), r: hex(r), n: hex(n), m: hex(m) })).toBe(tag);
    }
  });

  test('compresses to frames with the content size, without a checksum, that both engines open', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 5000 }), fc.integer({ min: 1, max: 200 }), (part, times) => {
        const plain = Buffer.concat(Array.from({ length: times }, () => part));
        const frame = Buffer.alloc(compressBound(plain.length));
        const size = engine.createCompressor(3).compress(plain, frame);
        expect(size).toBeGreaterThan(0);
        // Frame header descriptor (RFC 8878, 3.1.1.1.1): bit 2 is the checksum; a size of 0 bytes is "unknown".
        const descriptor = frame[4]!;
        expect(descriptor & 0b100).toBe(0);
        expect((descriptor >> 6) + ((descriptor >> 5) & 1)).toBeGreaterThan(0);
        for (const [, other] of engines) {
          expect(other.decompress(frame.subarray(0, size), plain.length)?.equals(plain)).toBe(true);
          expect(other.decompress(frame.subarray(0, size), plain.length - 1)).toBe(null);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('compresses inputs of every size class in turn, also after its memory was released', () => {
    const text = Buffer.from(Array.from({ length: 40_000 }, (_, i) => `${i * i} ${i % 97};`).join('\n'));
    const sizes = [1, 16 * 1024, 16 * 1024 + 1, 128 * 1024, 128 * 1024 + 1, 256 * 1024, 256 * 1024 + 1, text.length];
    for (const level of [1, 3, 12]) {
      const compressor = engine.createCompressor(level);
      for (const size of [...sizes, ...sizes.toReversed()]) {
        const plain = text.subarray(0, size);
        const frame = Buffer.alloc(compressBound(size));
        const written = compressor.compress(plain, frame);
        if (size > 1000) expect(written).toBeLessThan(size / 1.5);
        for (const [, other] of engines) {
          expect(other.decompress(frame.subarray(0, written), size)?.equals(plain)).toBe(true);
        }
        if (size === text.length) engine.release();
      }
    }
  });

  test('yields null for frames that are broken, cut short, or empty', () => {
    const frame = Buffer.alloc(1000);
    const size = engine.createCompressor(3).compress(Buffer.from('abc'.repeat(500)), frame);
    expect(engine.decompress(frame.subarray(0, size - 3), 10_000)).toBe(null);
    expect(engine.decompress(randomBytes(100), 10_000)).toBe(null);
    expect(engine.createCompressor(3).compress(randomBytes(1000), Buffer.alloc(100))).toBe(-1);
  });

  test('opens what it sealed, and nothing that was changed in any bit', () => {
    const cipher = new UnitCipher(engine, MasterKey.generate());
    const plain = Buffer.from('The quick brown fox');
    const unit = cipher.seal(plain);
    expect(unit.length).toBe(plain.length + 32);
    expect(Buffer.from(cipher.open(unit, 'it')).equals(plain)).toBe(true);
    for (let bit = 0; bit < unit.length * 8; bit++) {
      const changed = Buffer.from(unit);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(cipher.tryOpen(changed)).toBe(null);
    }
    for (let length = 0; length < unit.length; length++) expect(cipher.tryOpen(unit.subarray(0, length))).toBe(null);
    expect(() => cipher.open(unit.subarray(1), 'The thing')).toThrow(/The thing \(50 bytes\) was changed/);
  });

  test('refuses an IV of zeros even when the tag is right', () => {
    const key = MasterKey.generate();
    const unit = Buffer.alloc(40);
    const { macK, macR } = key.reveal();
    engine.createAuthenticator(macK, macR).tag(unit.subarray(0, 16), unit.subarray(16, 24), unit.subarray(24));
    expect(new UnitCipher(engine, key).tryOpen(unit)).toBe(null);
  });

  test('never uses an IV twice', () => {
    const cipher = new UnitCipher(engine, MasterKey.generate());
    const seen = new Set(Array.from({ length: 2000 }, () => cipher.seal(Buffer.alloc(1)).toString('hex', 0, 16)));
    expect(seen.size).toBe(2000);
  });
});

test('both engines yield the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.uint8Array({ minLength: 64, maxLength: 64 }), (data, keys) => {
      const [k, r, n] = [keys.subarray(0, 16), keys.subarray(16, 32), keys.subarray(32, 48)];
      expect(tagOf(native, { k, r, n, m: data })).toBe(tagOf(builtin, { k, r, n, m: data }));
      expect(native.sha256(data).equals(builtin.sha256(data))).toBe(true);
      const [one, two] = [Buffer.alloc(data.length), Buffer.alloc(data.length)];
      native.createKeystream(keys.subarray(0, 32)).apply(n, data, one);
      builtin.createKeystream(keys.subarray(0, 32)).apply(n, data, two);
      expect(one.equals(two)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('Poly1305 is right where carries are worst', () => {
  for (const byte of [0x00, 0xff, 0xfe, 0x80]) {
    for (const length of [15, 16, 17, 32, 48, 1000, 65536]) {
      const [k, r, n, m] = [
        Buffer.alloc(16, byte),
        Buffer.alloc(16, 0xff),
        Buffer.alloc(16, byte),
        Buffer.alloc(length, 0xff),
      ];
      expect(tagOf(builtin, { k, r, n, m })).toBe(tagOf(native, { k, r, n, m }));
    }
  }
});

describe('a master key', () => {
  test('prints as [redacted]', () => {
    const key = MasterKey.generate();
    expect(`${String(key)} ${JSON.stringify({ key })}`).toBe('[redacted] {"key":"[redacted]"}');
  });

  test('of zeros is none', () => {
    const zero = { encrypt: Buffer.alloc(32), macK: randomBytes(16), macR: randomBytes(16) };
    expect(MasterKey.fromParts(zero)).toBe(null);
    expect(MasterKey.fromParts({ ...zero, encrypt: randomBytes(32), macK: Buffer.alloc(16) })).toBe(null);
    expect(MasterKey.fromParts({ ...zero, encrypt: randomBytes(31) })).toBe(null);
  });
});
