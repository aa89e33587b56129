import { describe, expect, test } from 'vitest';
import { parseDeb822, parseOneLine } from '../src/apt-sources.ts';

describe('apt sources', () => {
  test('of one line are read with options and comments', () => {
    const text = `# deb http://commented.example/ old main
deb http://mirror.example/debian bookworm main contrib # comment
deb [arch=amd64 signed-by=/k.gpg] https://other.example/ubuntu noble universe
deb-src http://mirror.example/debian bookworm main`;
    expect(parseOneLine(text)).toEqual([
      { uri: 'http://mirror.example/debian', suite: 'bookworm', components: ['main', 'contrib'] },
      { uri: 'https://other.example/ubuntu', suite: 'noble', components: ['universe'] },
    ]);
  });

  test('of the deb822 style are read for each suite, disabled ones and sources left out', () => {
    const text = `Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm
  bookworm-updates
Components: main

Types: deb
URIs: http://off.example/
Suites: x
Components: main
Enabled: no

Types: deb-src
URIs: http://src.example/
Suites: x
Components: main
`;
    expect(parseDeb822(text)).toEqual([
      { uri: 'http://mirror.example/debian', suite: 'bookworm', components: ['main'] },
      { uri: 'http://mirror.example/debian', suite: 'bookworm-updates', components: ['main'] },
    ]);
  });
});
