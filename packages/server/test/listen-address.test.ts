import { describe, expect, test } from 'vitest';
import { isLoopback, parseListenAddress } from '../src/index.ts';

describe('the address to listen on', () => {
  test.each([
    ['127.0.0.1:8470', { host: '127.0.0.1', port: 8470 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    [':8470', { host: '127.0.0.1', port: 8470 }],
    ['65535', { host: '127.0.0.1', port: 65_535 }],
  ])('is understood from %s', (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });

  test.each([
    '',
    'host',
    '1.2.3.4',
    '127.0.0.1:65536',
    '::1:80',
    '[1.2.3.4]:80',
    'a:b',
    '127.0.0.1:8470/',
    'http://x:1',
  ])('is refused from "%s"', (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
  });

  test('is private on loopback only', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1'])
      expect(isLoopback(host)).toBe(true);
    for (const host of ['0.0.0.0', '::', '192.168.0.1', 'example.org', '128.0.0.1', 'localhost.example.org'])
      expect(isLoopback(host)).toBe(false);
  });
});
