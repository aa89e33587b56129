// What sparse files consist of: whatever the polynomial is, zeros are cut into chunks of the smallest size, whose id is known.

import { minChunkBytes, type Chunker } from './chunker.ts';

/** SHA-256 of {@link minChunkBytes} zero bytes. */
export const zeroChunkId = Buffer.from('07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541', 'hex');

/** Whether a chunk of the chunker is that one. */
export function isZeroChunk(chunker: Chunker, chunk: Uint8Array): boolean {
  return chunk.length === minChunkBytes && chunker.isZero(chunk);
}
