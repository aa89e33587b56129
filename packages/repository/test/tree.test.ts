import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeTree } from '../src/tree/decode-tree.ts';
import { encodeTree } from '../src/tree/encode-tree.ts';
import { goQuote, goUnquote, printableName } from '../src/tree/go-quote.ts';
import { parseTime, TimeFormatter } from '../src/tree/go-time.ts';
import { assertSafeName, isSafeName } from '../src/tree/node-name.ts';
import { linksOfTree } from '../src/tree/tree-links.ts';
import type { TreeNode } from '../src/tree/tree-node.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const id = 'ab'.repeat(32);
const times =
  '"mtime":"2020-09-13T14:26:40+02:00","atime":"2020-09-13T14:26:40+02:00","ctime":"2026-11-22T21:56:59.98714183+01:00"';
const tree = (...nodes: string[]): Buffer => Buffer.from(`{"nodes":[${nodes.join(',')}]}\n`);
const file = (name: string, more = ''): string =>
  `{"name":"${name}","type":"file","mode":420,${times},"uid":0,"gid":0${more},"content":[]}`;

const sample: TreeNode = {
  name: Buffer.from('x'),
  type: 'file',
  mode: 0o644,
  mtime: '2020-09-13T14:26:40Z',
  atime: '2020-09-13T14:26:40Z',
  ctime: '2020-09-13T14:26:40Z',
  uid: 0,
  gid: 0,
  inode: 1n,
  deviceId: 1n,
  size: 0,
  links: 1,
  device: 0n,
  content: [],
};

describe('tree blobs', () => {
  test('what restic wrote for odd nodes is decoded and encoded to the same bytes', () => {
    // Shapes that restic 0.14 wrote, in order: HTML characters, every escape of names, devices, xattrs, links, sizes.
    const bytes = tree(
      file('a\\u0026b\\u003cc\\u003e', ',"user":"root","group":"root","inode":2629954,"device_id":65024,"links":1'),
      file('back\\\\\\\\slash'),
      file('bad\\\\xff\\\\xfeutf8'),
      file('combiń'),
      file('emoji😀'),
      file('ls\\\\u2028x'),
      file('nbsp\\\\u00a0'),
      file('new\\\\nline'),
      file('q\\\\\\"uote'),
      file('tab\\\\tbell\\\\aesc\\\\x1bdel\\\\x7f'),
      `{"name":"zblk","type":"dev","mode":67109280,${times},"uid":0,"gid":0,"links":1,"device":286327664,"content":null}`,
      `{"name":"zdir","type":"dir","mode":2148532735,${times},"uid":0,"gid":0,"content":null,"subtree":"${id}"}`,
      `{"name":"zfile","type":"file","mode":8389101,${times},"uid":1000,"gid":33,"inode":18446744073709551615,"size":5,"links":2,"extended_attributes":[{"name":"user.x","value":"AAE="},{"name":"user.empty","value":""}],"content":["${id}","${id}"]}`,
      `{"name":"zlink","type":"symlink","mode":134218239,${times},"uid":0,"gid":0,"links":1,"linktarget":"tärget","content":null}`,
      `{"name":"zlinkraw","type":"symlink","mode":134218239,${times},"uid":0,"gid":0,"links":1,"linktarget":"bad\\ufffd\\ufffdtarget","content":null}`,
      `{"name":"zlinkrawer","type":"symlink","mode":134218239,${times},"uid":0,"gid":0,"links":1,"linktarget":"bad\\ufffd","linktarget_raw":"YmFk/w==","content":null}`,
      file('zwsp\\\\u200bx'),
      file('\ufffdrepl'),
    );
    const nodes = decodeTree(bytes);
    expect(encodeTree(nodes).toString()).toBe(bytes.toString());
    expect(nodes[2]?.name).toEqual(Buffer.from('bad\xff\xfeutf8', 'latin1'));
    expect(nodes[12]?.inode).toBe(18446744073709551615n);
    expect(nodes[14]?.linkTargetLost).toBe(true);
    expect(nodes[15]?.linkTarget).toEqual(Buffer.from('bad\xff', 'latin1'));
  });

  test('the vector of 24 nodes keeps its id', (context) => {
    const vector = new URL('../../../../shared/fixtures/tree_vector.json', import.meta.url);
    if (!existsSync(vector)) context.skip('the fixture folder is not there');
    const bytes = readFileSync(vector);
    expect(sha256(encodeTree(decodeTree(bytes)))).toBe(sha256(bytes));
    expect(sha256(bytes)).toMatch(/^afeaf4e3.*56b6de$/);
  });

  test('an empty folder has the known id', () => {
    expect(sha256(encodeTree([]))).toBe('ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8');
  });

  test('unknown keys are tolerated', () => {
    const bytes = Buffer.from(`{"before":[1],"nodes":[${file('a', ',"future":{"x":1}')}],"after":1}`);
    expect(decodeTree(bytes).map((node) => node.name.toString())).toEqual(['a']);
  });

  test('names are ordered by their bytes, not by UTF-16, and duplicates are refused', () => {
    expect(decodeTree(tree(file('\uff5e'), file('😀')))).toHaveLength(2);
    expect(() => decodeTree(tree(file('😀'), file('\uff5e')))).toThrow(/ascending/);
    expect(() => decodeTree(tree(file('a'), file('a')))).toThrow(/ascending/);
    expect(() => encodeTree([sample, sample])).toThrow(/ascending/);
  });

  test.each([
    ['not JSON', Buffer.from('{"nodes":[')],
    ['no nodes', Buffer.from('[]')],
    ['a node that is a number', tree('1')],
    ['a node without a name', tree('{"type":"file"}')],
    ['an unknown type', tree(file('a').replace('"file"', '"door"'))],
    ['a bad escape', tree(file('a\\\\q'))],
    ['a quote that is not escaped', tree(file('a\\"'))],
    ['a surrogate escape', tree(file('a\\\\ud800'))],
    ['a folder without a subtree', tree(file('a').replace('"file"', '"dir"'))],
    ['content that is no id', tree(file('a').replace('[]', '["x"]'))],
    ['a negative size', tree(file('a', ',"size":-1'))],
    ['an inode beyond 64 bits', tree(file('a', ',"inode":18446744073709551616'))],
    ['a time that is none', tree(file('a').replace('14:26:40+02:00', 'noon'))],
  ])('%s is reported as damage', (_what, bytes) => {
    expect(() => decodeTree(bytes)).toThrow(expect.objectContaining({ code: 'REPOSITORY_DAMAGED' }));
  });

  test('any node survives encoding and decoding', () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes));
    const uint64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    fc.assert(
      fc.property(name, fc.string({ unit: 'binary' }), name, uint64, uint64, (raw, user, target, inode, deviceId) => {
        const node = { ...sample, name: raw, user: user.toWellFormed(), linkTarget: target, inode, deviceId };
        const [decoded] = decodeTree(encodeTree([node]));
        expect(decoded?.name).toEqual(raw);
        expect(decoded?.user ?? '').toBe(node.user);
        expect(decoded?.linkTarget).toEqual(target);
        expect([decoded?.inode, decoded?.deviceId]).toEqual([inode, deviceId]);
      }),
    );
  });
});

describe('what a tree refers to', () => {
  const other = 'cd'.repeat(32);
  const usual = [
    `{"name":"a b","type":"file","mode":420,${times},"uid":0,"gid":0,"user":"root","group":"root","inode":12,"device_id":65024,"size":9,"links":1,"content":["${id}","${other}","${id}"]}`,
    `{"name":"dir","type":"dir","mode":2147484141,${times},"uid":0,"gid":0,"content":null,"subtree":"${other}"}`,
    `{"name":"empty","type":"file",${times},"uid":0,"gid":0,"content":[]}`,
    `{"name":"link","type":"symlink","mode":134218239,${times},"uid":0,"gid":0,"links":1,"linktarget":"tärget","content":null}`,
    `{"name":"zé","type":"fifo","mode":33554852,${times},"uid":0,"gid":0,"device":5,"content":null}`,
  ];

  /** What decoding says, or the code of its error. */
  function slowly(bytes: Buffer): unknown {
    try {
      const nodes = decodeTree(bytes);
      return {
        data: nodes.flatMap(({ content }) => content ?? []),
        subtrees: nodes.flatMap(({ type, subtree }) => (type === 'dir' && subtree ? [subtree] : [])),
      };
    } catch (error) {
      return (error as { code: string }).code;
    }
  }

  function quickly(bytes: Buffer): unknown {
    try {
      const { data, subtrees, isRegular, nodes } = linksOfTree(bytes);
      expect(nodes()).toEqual(decodeTree(bytes));
      if (isRegular) {
        for (const node of nodes()) {
          expect(isSafeName(node.name)).toBe(true);
          expect(node.content === null).toBe(node.type !== 'file');
        }
      }
      return { data, subtrees };
    } catch (error) {
      return (error as { code: string }).code;
    }
  }

  test('is found without decoding in the usual shape', () => {
    expect(linksOfTree(tree(...usual))).toMatchObject({
      data: [id, other, id],
      subtrees: [other],
      isRegular: true,
    });
    expect(linksOfTree(tree())).toMatchObject({ data: [], subtrees: [], isRegular: true });
    const many = Array.from({ length: 300_000 }, () => `"${id}"`).join(',');
    const large = tree(`{"name":"large","type":"file",${times},"uid":0,"gid":0,"content":[${many}]}`);
    const links = linksOfTree(large);
    expect([links.data.length, links.isRegular]).toEqual([300_000, true]);
  });

  test.each([
    [file('..')],
    [file('.')],
    [file('a/b')],
    [file('a\\u0000b')],
    [file('tab\\\\t')],
    [file('x').replace('"content":[]', '"content":null')],
    [file('x').replace('"uid":0', '"uid" :0')],
    [file('x', ',"inode":18446744073709551615')],
    [file('x').replace('"type":"file"', '"type":"file","extra":1')],
  ])('is decoded in any other: %s', (node) => {
    expect(linksOfTree(tree(node)).isRegular).toBe(false);
    expect(quickly(tree(node))).toEqual(slowly(tree(node)));
  });

  test('is what decoding says, whatever is changed', () => {
    const bytes = tree(...usual);
    const parts = [',', '"', '}', ']', '[', '0', '-', 'null', '\\', 'é', `"${id}",`, '.', '/', '\0', '{"nodes":['].map(
      (part) => Buffer.from(part),
    );
    const change = fc.record({
      at: fc.nat(bytes.length - 1),
      removed: fc.nat(3),
      part: fc.oneof(fc.constantFrom(...parts), fc.uint8Array({ maxLength: 2 })),
    });
    fc.assert(
      fc.property(change, ({ at, removed, part }) => {
        const changed = Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at + removed)]);
        expect(quickly(changed)).toEqual(slowly(changed));
      }),
      { numRuns: 5000 },
    );
    for (const order of [usual.toReversed(), [...usual, usual.at(-1) ?? ''], [usual[1] ?? '', usual[0] ?? '']]) {
      expect(quickly(tree(...order))).toBe('REPOSITORY_DAMAGED');
    }
  });
});

describe('names', () => {
  test('any bytes survive quoting, and printable text stays as it is', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => goUnquote(goQuote(bytes))?.equals(bytes) === true));
    expect(goQuote(Buffer.from('größe 日本 ~'))).toBe('größe 日本 ~');
    expect(goQuote(Buffer.from('\u0085\u{e0001}\u00ad'))).toBe('\\u0085\\U000e0001\\u00ad');
  });

  test('octal and upper case escapes are read too', () => {
    expect(goUnquote('\\101\\xFF\\U0001F600')).toEqual(Buffer.concat([Buffer.of(0x41, 0xff), Buffer.from('😀')]));
    expect(goUnquote('\\400')).toBeUndefined();
    expect(printableName(Buffer.of(0x61, 0xff))).toBe('a\\xff');
  });

  test.each(['', '.', '..', 'a/b', '/', 'a\0b'])('%j is refused as a name to write', (name) => {
    expect(() => assertSafeName(Buffer.from(name), '/x')).toThrow(
      expect.objectContaining({ code: 'RESTORE_PATH_UNSAFE' }),
    );
  });

  test.each(['...', '.a', '..a', 'a\\b', '\n'])('%j is allowed', (name) => {
    expect(() => assertSafeName(Buffer.from(name), '/x')).not.toThrow();
  });
});

describe('times', () => {
  test('nanoseconds survive, trailing zeros are trimmed', () => {
    const formatter = new TimeFormatter();
    fc.assert(
      fc.property(fc.bigInt({ min: -62_135_596_800_000_000_000n, max: 253_402_300_799_999_999_999n }), (ns) => {
        expect(parseTime(formatter.format(ns))).toBe(ns);
      }),
    );
    expect(formatter.format(1_600_000_000_120_000_000n)).toMatch(/:40\.12(Z|[+-]\d\d:\d\d)$/);
  });

  test('the zone of the text counts', () => {
    expect(parseTime('2026-11-22T21:56:59.98199408+01:00')).toBe(parseTime('2026-11-22T20:56:59.98199408Z'));
    expect(parseTime('1969-12-31T23:59:59.5Z')).toBe(-500_000_000n);
    expect(parseTime('2026-11-22 21:56:59Z')).toBeUndefined();
  });
});
