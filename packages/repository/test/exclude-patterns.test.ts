import { describe, expect, test } from 'vitest';
import { ExcludePatterns } from '../src/filesystem/exclude-patterns.ts';

const matches = (patterns: string | string[], path: string): boolean =>
  new ExcludePatterns([patterns].flat()).matches(path);

describe('exclude patterns', () => {
  // Pattern, path, expectation: the meaning that restic's manual gives them.
  test.each([
    ['*.go', '/foo/bar/test.go', true],
    ['*.c', '/foo/bar/test.go', false],
    ['*', '/foo/bar/test.go', true],
    ['foo*', '/foo/bar/test.go', true],
    ['ba*', '/foo/bar/test.go', true],
    ['bar', '/foo/bar/baz', true],
    ['bar', '/foo/barn/baz', false],
    ['bar/', '/foo/bar', true],
    ['bar/*.go', '/foo/bar/test.go', true],
    ['foo/test.go', '/foo/bar/test.go', false],
    ['/*/test.*', '/foo/bar/test.go', false],
    ['/*/*/test.*', '/foo/bar/test.go', true],
    ['/foo', '/foo/bar', true],
    ['/foo', '/x/foo', false],
    ['/foo/**/test.go', '/foo/bar/baz/test.go', true],
    ['/foo/**/test.go', '/foo/test.go', true],
    ['foo/**/bar', '/x/foo/y/bar/z', true],
    ['foo/**', '/foo', true],
    ['**/test.go', '/foo/test.go', true],
    ['te?t.go', '/test.go', true],
    ['te?t.go', '/te/t.go', false],
    ['?.txt', '/😀.txt', true],
    ['[a-c]x', '/bx', true],
    ['[^a-c]x', '/bx', false],
    ['[^a-c]x', '/dx', true],
    ['\\*.go', '/*.go', true],
    ['\\*.go', '/a.go', false],
    ['a.b', '/axb', false],
    ['file-1*', '/file-12', true],
    ['[a\\-c]x', '/-x', true],
    ['[a\\-c]x', '/bx', false],
    ['a(b)+{1}', '/a(b)+{1}', true],
    ['.', '/anything', false],
    ['../foo', '/foo', false],
    ['/../foo', '/foo', true],
    ['a/../b', '/b', true],
    ['[b-a]', '/a', false],
    ['**', '/a', true],
    ['/', '/a', true],
    [' ', '/ ', true],
    ['!', '/!', false],
    ['nb\u00a0sp', '/nb\u00a0sp', true],
    ['q"', '/q"', true],
    // A star may take a part of a character, as in Go.
    ['*??', '/€', true],
    ['a\nb', '/a\nb', true],
    ['*', '/a\nb', true],
  ])('%j on %j is %s', (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });

  test('a later negated pattern takes a match back, in order', () => {
    expect(matches(['*.log', '!keep.log'], '/a/keep.log')).toBe(false);
    expect(matches(['*.log', '!keep.log'], '/a/other.log')).toBe(true);
    expect(matches(['!keep.log', '*.log'], '/a/keep.log')).toBe(true);
  });

  test('names that are not UTF-8 are matched as bytes', () => {
    const path = Buffer.from('/bad\xffname', 'latin1');
    expect(new ExcludePatterns(['bad?name']).matches(path)).toBe(true);
    expect(new ExcludePatterns(['bad*']).matches(path)).toBe(true);
    expect(new ExcludePatterns(['bad\\xffname']).matches(path)).toBe(false);
    expect(new ExcludePatterns(['bad[^a]name']).matches(path)).toBe(true);
  });

  test('case does not count when asked for', () => {
    const ignoring = (pattern: string, path: string): boolean =>
      new ExcludePatterns([pattern], { ignoreCase: true }).matches(path);
    expect(ignoring('*.JPG', '/x/Photo.jPg')).toBe(true);
    expect(ignoring('ÄÖ', '/äÖ')).toBe(true);
    expect(ignoring('ΑΣ', '/ας')).toBe(false);
    expect(ignoring('ΑΣ', '/ασ')).toBe(true);
    expect(ignoring('İx', '/ix')).toBe(true);
  });

  test('nothing matches without patterns', () => {
    expect(new ExcludePatterns(['', '']).isEmpty).toBe(true);
    expect(matches([], '/a')).toBe(false);
  });

  test.each(['[', 'a[b', 'x\\', '[]', '[]a]', '[a-]', '[-a]', '[^]', '[a/b]', 'ok/['])('%j is refused', (pattern) => {
    expect(() => new ExcludePatterns([pattern])).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
  });
});
