// The engine made of Node's public modules: slower per object, available everywhere.

import { createCipheriv, hash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { windowLog, type Engine } from './engine.ts';
import { poly1305 } from './poly1305.ts';

/** An engine that needs nothing but `node:crypto` and `node:zlib`. */
export function createBuiltinEngine(): Engine {
  return {
    name: 'builtin',
    sha256: (data) => hash('sha256', data, 'buffer'),
    createKeystream: (key) => ({
      apply(iv, source, target) {
        target.set(createCipheriv('aes-256-ctr', key, iv).update(source));
      },
    }),
    createAuthenticator(k, r) {
      const aes = createCipheriv('aes-128-ecb', k, null).setAutoPadding(false);
      return { tag: (iv, message, tag) => poly1305(r, aes.update(iv), message, tag) };
    },
    createCompressor: (level) => ({
      compress(source, target) {
        const frame = zstdCompressSync(source, {
          pledgedSrcSize: source.length,
          params: {
            [constants.ZSTD_c_compressionLevel]: level,
            [constants.ZSTD_c_windowLog]: windowLog,
            [constants.ZSTD_c_contentSizeFlag]: 1,
            [constants.ZSTD_c_checksumFlag]: 0,
          },
        });
        if (frame.length > target.length) return -1;
        target.set(frame);
        return frame.length;
      },
    }),
    decompress: decompressBuiltin,
    release: () => {},
  };
}

/** zstd through `node:zlib`; also the way for frames that do not tell their content size. */
export function decompressBuiltin(source: Uint8Array, maxBytes: number): Buffer | null {
  try {
    const plain = zstdDecompressSync(source, { maxOutputLength: Math.max(1, maxBytes) });
    return plain.length > maxBytes ? null : plain;
  } catch {
    return null;
  }
}
